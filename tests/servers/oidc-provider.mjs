// oidc-provider.mjs ENTRY CONFIGURATION: an OpenID provider and authorization server for tests, on loopback.
//
// ENTRY is the file of npm's oidc-provider; CONFIGURATION is JSON, see tests/e2e/oidc_provider.py:
//   clients    the metadata of the clients, as in RFC 7591
//   users      login name -> {password, claims, may_act}; the login name is the `sub`
//   resources  resource indicator -> the scopes it knows
//   addresses  client -> the resource indicator that means "addressed to me"
//   strict     subject and actor token of an exchange must belong together; else each is only checked on its own
//   opaque     access tokens are references rather than JWTs
//   dpop_nonce a DPoP proof needs a nonce
// The first line it prints is `ready ISSUER`. POST /test/users/NAME {"disabled": true} disables a user.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const entry = pathToFileURL(process.argv[2]);
const configuration = JSON.parse(process.argv[3]);
const { default: Provider, errors, interactionPolicy } = await import(entry);
const { default: validateDpop } = await import(new URL('./helpers/validate_dpop.js', entry));
const { applyDpopBinding } = await import(new URL('./helpers/grant_common.js', entry));
const jose = await import(pathToFileURL(createRequire(entry).resolve('jose')));

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const users = new Map(Object.entries(configuration.users));

const words = (text) => (text || '').split(' ').filter(Boolean);

async function newKey(alg, kid) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), alg, use: 'sig', kid };
}

const keys = [await newKey('ES256', 'op-es256'), await newKey('RS256', 'op-rs256')];
const published = jose.createLocalJWKSet({ keys: keys.map(({ d, p, q, dp, dq, qi, ...rest }) => rest) });

function resourceServer(resource) {
  const scope = configuration.resources[resource];
  if (scope === undefined) throw new errors.InvalidTarget();
  const accessTokenFormat = configuration.opaque ? 'opaque' : 'jwt';
  return { scope, audience: resource, accessTokenTTL: 300, accessTokenFormat, jwt: { sign: { alg: 'ES256' } } };
}

async function findAccount(ctx, name) {
  const user = users.get(name);
  if (!user || user.disabled) return undefined;
  return { accountId: name, claims: async () => ({ sub: name, ...user.claims }) };
}

// Whoever logs in has consented to what their client asks for.
async function loadExistingGrant(ctx) {
  const { client, session, params, resourceServers } = ctx.oidc;
  const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(words(params.scope).join(' '));
  for (const [resource, { scope }] of Object.entries(resourceServers ?? {})) grant.addResourceScope(resource, scope);
  await grant.save();
  return grant;
}

function settings() {
  const policy = interactionPolicy.base();
  policy.get('consent').checks.remove('native_client_prompt');
  return {
    jwks: { keys },
    clients: configuration.clients,
    cookies: { keys: [randomUUID()] },
    scopes: ['openid', 'offline_access', ...new Set(Object.values(configuration.resources).flatMap(words))],
    claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount,
    loadExistingGrant,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    extraTokenClaims: async (ctx, token) =>
      ctx?.oidc?.entities?.ExchangeClaims ?? { may_act: users.get(token.accountId)?.may_act },
    interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: {
        enabled: true,
        nonceSecret: Buffer.alloc(32, 1),
        requireNonce: () => Boolean(configuration.dpop_nonce),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: async (ctx, resource) => resourceServer(resource),
      },
    },
  };
}

function exchanging(provider, issuer) {
  const refuse = (sentence) => {
    throw new errors.InvalidRequest(sentence);
  };

  async function presented(token, type, what) {
    if (type !== ACCESS_TOKEN && type !== JWT) refuse(`unsupported ${what}_token_type`);
    if (token.includes('.')) {
      try {
        return (await jose.jwtVerify(token, published, { issuer, typ: 'at+jwt' })).payload;
      } catch (error) {
        refuse(`${what}_token invalid: ${error.code}`);
      }
    }
    const kept = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
    if (!kept) refuse(`${what}_token invalid: unknown`);
    const { clientId, accountId, aud, scope, extra } = kept;
    return { sub: accountId ?? clientId, client_id: clientId, aud, scope, ...extra };
  }

  function belongTogether(subject, actor, client, named) {
    if (subject.may_act && !named) refuse('subject_token carries may_act: actor_token required');
    const addressed = [subject.aud].flat().includes(configuration.addresses[client.clientId]);
    if (subject.client_id !== client.clientId && !addressed) refuse('subject_token is not addressed to this client');
    if (actor.client_id !== client.clientId) refuse('actor_token belongs to another client');
  }

  return async (ctx) => {
    const { params, client } = ctx.oidc;
    for (const name of ['subject_token', 'subject_token_type']) if (!params[name]) refuse(`missing ${name}`);
    if (!!params.actor_token !== !!params.actor_token_type) refuse('actor_token and actor_token_type go together');
    const proof = await validateDpop(provider, ctx);
    const subject = await presented(params.subject_token, params.subject_token_type, 'subject');
    const actor = params.actor_token
      ? await presented(params.actor_token, params.actor_token_type, 'actor')
      : { sub: client.clientId, client_id: client.clientId };
    if (configuration.strict) belongTogether(subject, actor, client, Boolean(params.actor_token));
    if (subject.may_act && subject.may_act.sub !== actor.sub) refuse('actor not permitted by may_act');
    const target = resourceServer(params.resource);
    const wanted = words(params.scope || subject.scope);
    const granted = (scope) => words(subject.scope).includes(scope) && words(target.scope).includes(scope);
    if (!wanted.length || !wanted.every(granted)) throw new errors.InvalidScope('scope must narrow', params.scope);
    const token = new provider.AccessToken({ accountId: subject.sub, client, gty: 'token_exchange' });
    token.resourceServer = new provider.ResourceServer(params.resource, target);
    token.scope = wanted.join(' ');
    await applyDpopBinding(provider, ctx, proof, token);
    ctx.oidc.entity('ExchangeClaims', { act: { sub: actor.sub, ...(subject.act ? { act: subject.act } : {}) } });
    ctx.body = {
      access_token: await token.save(),
      issued_token_type: ACCESS_TOKEN,
      token_type: token.tokenType,
      expires_in: token.expiration,
      scope: token.scope,
    };
  };
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function interact(provider, request, response) {
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    response.end('<form method="post"><input name="login"><input name="password" type="password"></form>');
    return;
  }
  const form = new URLSearchParams(await read(request));
  const user = users.get(form.get('login'));
  if (!user || user.disabled || user.password !== form.get('password')) {
    response.statusCode = 403;
    response.end('Wrong name or password');
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: form.get('login') } });
}

async function change(request, response) {
  const name = decodeURIComponent(request.url.slice('/test/users/'.length));
  users.set(name, { ...users.get(name), ...JSON.parse(await read(request)) });
  response.end();
}

let serve;
const server = createServer((request, response) => serve(request, response));
server.listen(configuration.port ?? 0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, settings());
  const names = ['audience', 'resource', 'scope', 'requested_token_type'];
  for (const token of ['subject_token', 'actor_token']) names.push(token, `${token}_type`);
  provider.registerGrantType(EXCHANGE, exchanging(provider, issuer), names, ['audience', 'resource']);
  provider.on('server_error', (ctx, error) => console.error('server_error', error));
  const callback = provider.callback();
  serve = async (request, response) => {
    if (request.url.startsWith('/interaction/')) await interact(provider, request, response);
    else if (request.url.startsWith('/test/users/')) await change(request, response);
    else callback(request, response);
  };
  console.log(`ready ${issuer}`);
});
