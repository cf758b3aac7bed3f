// A certified OpenID provider for tests: one public client with the device flow, whose people log in by saying their name.
//
//   node provider.mjs FOLDER_WITH_NODE_MODULES     prints its URL once it answers; ends with its standard input
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// Standard output is for the URL only: nobody reads on.
console.info = console.error;

const [folder] = process.argv.slice(2);
const module = join(folder, "node_modules", "oidc-provider", "lib", "index.js");
const { Provider } = await import(pathToFileURL(module));

const API = "https://granary.example/api";
const resource = { scope: "api", audience: API, accessTokenFormat: "jwt", accessTokenTTL: 60 };

function configuration() {
  return {
    clients: [
      {
        client_id: "granary-cli",
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    cookies: { keys: ["only a test"] },
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => API,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resource,
      },
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true }),
    }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: () => true,
    rotateRefreshToken: () => true,
    renderError: (ctx, out) => {
      ctx.body = JSON.stringify(out);
    },
  };
}

// What a page with a form would do: logs in as `?as=NAME`, grants what is asked for, or declines with `?decline`.
async function interact(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  const url = new URL(request.url, "http://localhost");
  if (url.searchParams.has("decline")) {
    return provider.interactionFinished(request, response, { error: "access_denied" });
  }
  if (prompt.name === "login") {
    const accountId = url.searchParams.get("as") ?? "ada";
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addResourceScope(API, "api");
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  const answer = provider.callback();
  server.on("request", (request, response) => {
    if (!request.url.startsWith("/interaction/")) return answer(request, response);
    interact(provider, request, response).catch((error) => {
      response.statusCode = 500;
      response.end(String(error));
    });
  });
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit());
