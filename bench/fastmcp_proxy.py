"""FastMCP's unguarded proxy as people run it: `create_proxy(target)`, or over one reused client."""

import argparse
import asyncio

from fastmcp import Client, FastMCP
from fastmcp.client.transports import ClientTransport, StdioTransport, StreamableHttpTransport
from fastmcp.server import create_proxy


def _target(options: argparse.Namespace) -> ClientTransport:
    if options.url:
        return StreamableHttpTransport(options.url)
    return StdioTransport(options.command[0], options.command[1:])


async def _serve(proxy: FastMCP, port: int) -> None:
    if port:
        await proxy.run_http_async(
            show_banner=False, transport="http", host="127.0.0.1", port=port, log_level="warning"
        )
    else:
        await proxy.run_stdio_async(show_banner=False, log_level="warning")


async def _run(options: argparse.Namespace) -> None:
    if not options.reuse:
        await _serve(create_proxy(_target(options)), options.port)
        return
    async with Client(_target(options), mode=options.mode) as client:
        await _serve(create_proxy(client), options.port)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--mode", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--url", default="")
    parser.add_argument("command", nargs="*")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
