// A client on npm's TypeScript SDK, of either generation: lists the tools, makes the calls, prints what it saw.
//
//     node typescript.cjs WHERE '{"generation": 1 | 2, "era": ..., "command": [...] | "url": ..., "token": ..., "calls": [...]}'
//
// WHERE is a file from whose place Node finds the SDK.
"use strict";

const { createRequire } = require("node:module");

const find = createRequire(process.argv[2]);
const plan = JSON.parse(process.argv[3]);

const load = {
  1: () => ({
    ...find("@modelcontextprotocol/sdk/client/index.js"),
    ...find("@modelcontextprotocol/sdk/client/stdio.js"),
    ...find("@modelcontextprotocol/sdk/client/streamableHttp.js"),
  }),
  2: () => ({ ...find("@modelcontextprotocol/client"), ...find("@modelcontextprotocol/client/stdio") }),
};
const eras = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

function transport(sdk) {
  if (plan.command) {
    const [command, ...args] = plan.command;
    return new sdk.StdioClientTransport({ command, args, stderr: "ignore" });
  }
  const headers = { Authorization: `Bearer ${plan.token}` };
  return new sdk.StreamableHTTPClientTransport(new URL(plan.url), { requestInit: { headers } });
}

async function main() {
  const sdk = load[plan.generation]();
  const about = { name: "typescript", version: "1" };
  const client = new sdk.Client(about, { versionNegotiation: { mode: eras[plan.era] } });
  await client.connect(transport(sdk));
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const answers = [];
  for (const [name, args] of plan.calls) {
    answers.push(await client.callTool({ name, arguments: args }));
  }
  await client.close();
  process.stdout.write(JSON.stringify({ tools, answers }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
