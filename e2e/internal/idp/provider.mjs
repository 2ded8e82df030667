// A certified OpenID provider that no one here wrote, for the tests: node-oidc-provider with one client, people who
// need no password, and pages of a few lines. Configuration comes from the environment; /events tells what it did.
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const { ISSUER, GATE, CLIENT_ID, CLIENT_SECRET, ALG = 'RS256' } = process.env;
const callback = `${GATE}/_auth/oidc/staff`;
const events = [];

const { privateKey } = ALG === 'ES256'
	? generateKeyPairSync('ec', { namedCurve: 'P-256' })
	: generateKeyPairSync('rsa', { modulusLength: 2048 });

const people = (sub) => ({
	accountId: sub,
	claims: () => ({
		sub, preferred_username: sub, name: `${sub} of the staff`, email: `${sub}@example.com`, email_verified: true,
		groups: ['staff', `team-${sub}`],
	}),
});

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<link rel="icon" href="data:,"><h1>${title}</h1>${body}</html>`;

const provider = new Provider(ISSUER, {
	clients: [{
		client_id: CLIENT_ID, client_secret: CLIENT_SECRET, redirect_uris: [`${callback}/callback`],
		grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
		post_logout_redirect_uris: [`${GATE}/_auth/logged-out`],
		backchannel_logout_uri: `${callback}/backchannel-logout`, backchannel_logout_session_required: true,
		id_token_signed_response_alg: ALG,
	}],
	jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: ALG, kid: 'k1' }] },
	cookies: { keys: ['a key of the tests'] },
	claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'], email: ['email', 'email_verified'] },
	scopes: ['openid', 'profile', 'email', 'offline_access'],
	pkce: { required: () => true },
	ttl: { AccessToken: 60, IdToken: 60, Session: 3600, Grant: 3600, Interaction: 600, RefreshToken: 3600, AuthorizationCode: 60 },
	// The gate of a test is on this machine, where the provider would not go by itself.
	fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
	issueRefreshToken: async () => true,
	findAccount: async (ctx, sub) => people(sub),
	interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
	loadExistingGrant: async (ctx) => {
		const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
		grant.addOIDCScope('openid profile email');
		await grant.save();
		return grant;
	},
	features: {
		devInteractions: { enabled: false },
		backchannelLogout: { enabled: true },
		rpInitiatedLogout: {
			enabled: true,
			logoutSource: async (ctx, form) => {
				ctx.body = page('Sign out of the staff directory?', `${form}<button form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>`);
			},
			postLogoutSuccessSource: async (ctx) => { ctx.body = page('Signed out of the staff directory', ''); },
		},
	},
	renderError: async (ctx, out) => {
		events.push({ name: 'error', detail: out });
		ctx.type = 'html';
		ctx.body = page('Something went wrong', '');
	},
});

for (const name of ['backchannel.success', 'backchannel.error', 'grant.success', 'grant.error', 'server_error', 'end_session.success']) {
	provider.on(name, (...args) => events.push({ name, detail: args.filter((a) => a instanceof Error).map((e) => [e, e.cause].filter(Boolean).join(': ')).join() }));
}

const oidc = provider.callback();

async function interaction(req, res) {
	if (req.method === 'GET') {
		res.setHeader('Content-Type', 'text/html; charset=utf-8');
		res.end(page('Staff directory', `<form method="post"><label>Your name <input name="name" required></label> <button>Enter</button>
<button name="refuse" value="1" formnovalidate>Refuse</button></form>`));
		return;
	}
	let body = '';
	for await (const chunk of req) body += chunk;
	const form = new URLSearchParams(body);
	const result = form.get('refuse')
		? { error: 'access_denied', error_description: 'The person said <b>no</b>' }
		: { login: { accountId: form.get('name') } };
	await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
}

http.createServer((req, res) => {
	if (req.url === '/events') {
		res.setHeader('Content-Type', 'application/json');
		res.end(JSON.stringify(events));
	} else if (req.url.startsWith('/interaction/')) {
		interaction(req, res).catch((err) => { res.statusCode = 500; res.end(String(err)); });
	} else {
		oidc(req, res);
	}
}).listen(Number(new URL(ISSUER).port), '127.0.0.1', () => console.log('listening'));
