import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { HubError } from "../../../src/errors.ts";
import { authorization, hubFetch } from "../../../src/io/hub/requests.ts";
import { hubSettings } from "../../../src/io/hub/settings.ts";
import { inEnvironment } from "../../support/hub_environment.ts";
import { withFolder } from "../../support/io.ts";

const TOKEN = "hf_secretOfMine";
const REPO = { kind: "model", name: "org/model", revision: "main" } as const;

/** A server that keeps the token of every request. */
function serve(answer: (request: Request) => Response) {
  const seen: (string | null)[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    seen.push(request.headers.get("authorization"));
    return answer(request);
  });
  const address = `http://127.0.0.1:${server.addr.port}`;
  return { seen, address, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test("the access token goes to the hub's own address, by no redirect and no link to another", async () => {
  await using other = serve(() => new Response("content"));
  await using hub = serve((request) =>
    request.url.endsWith("/away") ? Response.redirect(`${other.address}/x`, 302) : new Response("x")
  );
  const settings = await hubSettings({ endpoint: hub.address, token: TOKEN });
  const fetch = hubFetch(settings, REPO);
  const init = { headers: authorization(settings) };
  for (const url of [`${hub.address}/here`, `${hub.address}/away`, `${other.address}/link`]) {
    await (await fetch(url, init)).text();
  }
  await (await fetch(new Request(`${other.address}/request`), init)).text();
  assertEquals(hub.seen, [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`]);
  assertEquals(other.seen, [null, null, null]);
});

Deno.test("no message has the access token, even where the hub sends it back", async () => {
  for (const status of [401, 403, 404, 409, 500]) {
    await using hub = serve(() =>
      status === 500
        ? new Response(JSON.stringify({ error: `no ${TOKEN}!` }), { status })
        : new Response(null, { status, headers: { "X-Error-Message": `no ${TOKEN}!` } })
    );
    const settings = await hubSettings({ endpoint: hub.address, token: TOKEN, retryMs: 1 });
    for (const action of ["fetch", "push"] as const) {
      const { message } = await assertRejects(
        () => hubFetch(settings, REPO, action)(`${hub.address}/x`),
        HubError,
      );
      assert(!message.includes(TOKEN), message);
      if (action === "push") assertStringIncludes(message, "no hf_…!");
    }
  }
  for (const token of ["secretOfMine", "hf_secret\nOfMine", "hf_secret Of"]) {
    const { message } = await assertRejects(() => hubSettings({ token }), HubError);
    assert(!message.includes("secret"), message);
  }
  const endpoint = "https://me:secretOfMine@example.org/x";
  const { message } = await assertRejects(() => hubSettings({ endpoint }), HubError);
  assertMatch(
    message,
    /^Cannot use the address of a hub at example\.org with a name or a password/,
  );
});

Deno.test("an address without encryption is told of, but on this machine", async () => {
  const notices: string[] = [];
  const onNotice = (notice: string) => notices.push(notice);
  for (
    const endpoint of ["http://127.0.0.1:1", "http://localhost", "http://[::1]:2", "https://a.b"]
  ) {
    await hubSettings({ endpoint, token: TOKEN, onNotice });
  }
  assertEquals(notices, []);
  await hubSettings({ endpoint: "http://a.b", token: TOKEN, onNotice });
  await hubSettings({ endpoint: "http://a.b", token: TOKEN, onNotice });
  await inEnvironment({ endpoint: "http://127.0.0.1.evil.org" }, "/nowhere", async () => {
    await hubSettings({ onNotice });
  });
  assertEquals(notices.length, 2);
  assertMatch(
    notices[0],
    /^the hub at http:\/\/a\.b is reached without encryption: the access token/,
  );
  assertMatch(notices[1], /encryption: what it sends may be read/);
});

const PUBLIC = "https://huggingface.co";

Deno.test({
  name: "what Deno does not allow to read counts as not set, but for the place of the cache",
  permissions: { env: ["HF_HUB_CACHE"], read: false },
  async fn() {
    const error = await assertRejects(() => hubSettings());
    assertMatch(
      (error as Error).message,
      /^Cannot find the cache of the hub by .+"HOME": .+--allow-env/,
    );
    Deno.env.set("HF_HUB_CACHE", "/cache");
    try {
      const { token, endpoint, cacheFolder, offline, mayReadToken } = await hubSettings();
      assertEquals(
        { token, endpoint, cacheFolder, offline, mayReadToken },
        {
          token: null,
          endpoint: PUBLIC,
          cacheFolder: "/cache",
          offline: false,
          mayReadToken: false,
        },
      );
    } finally {
      Deno.env.delete("HF_HUB_CACHE");
    }
  },
});

Deno.test({
  name: "a token is used only where the address that it is for may be read",
  permissions: { env: ["HF_TOKEN", "HOME"], read: true },
  async fn() {
    Deno.env.set("HF_TOKEN", TOKEN);
    try {
      const { message } = await assertRejects(() => hubSettings(), HubError);
      assertMatch(
        message,
        /does not allow to read HF_ENDPOINT, .+: add HF_ENDPOINT to --allow-env$/,
      );
      const { token } = await hubSettings({ endpoint: PUBLIC });
      assertEquals(token, TOKEN);
    } finally {
      Deno.env.delete("HF_TOKEN");
    }
  },
});

Deno.test("a login's file is read where it may be, and else there is no login", () =>
  withFolder((folder) =>
    inEnvironment({ endpoint: "http://127.0.0.1:1" }, folder, async () => {
      assertEquals((await hubSettings()).token, null);
      await Deno.writeTextFile(join(folder, "token"), `${TOKEN}\n`);
      assertEquals((await hubSettings()).token, TOKEN);
      assertEquals((await hubSettings()).cacheFolder, join(folder, "hub"));
    })
  ));
