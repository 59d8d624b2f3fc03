/** The permissions that SECURITY.md names for each command suffice, and without one of them a line says which. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { COMMANDS } from "../../src/cli/main.ts";
import { HubServer, TOKEN } from "../support/hub_server.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const root = new URL("../../", import.meta.url).pathname;
const NAME = "HuggingFaceTB/SmolLM2-135M-Instruct";
const TEMPLATE = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
/** What makes a command small. */
const SMALL: Record<string, string> = {
  train: "--steps 2 --rank 2 --batch-size 1 --sequence-length 16",
  eval: "--sequence-length 16",
  generate: "--max-new-tokens 2",
  chat: "--max-new-tokens 2",
};
/** Permissions that every line is denied by name unless it has them. */
const DENIED = ["net", "env", "ffi", "run", "sys"];

interface Line {
  permissions: string[];
  words: string[];
}

async function linesOf(page: string): Promise<Line[]> {
  const text = await Deno.readTextFile(join(root, page));
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block]) => block.trim());
  return blocks.join("\n").split("\n").map((line) => {
    const [before, after] = line.split(" jsr:@falqon/webgpu/cli ");
    const words = [...after.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word);
    return { permissions: before.split(" ").filter((word) => word.startsWith("--")), words };
  });
}

Deno.test("each command runs with the permissions that SECURITY.md names, and without one says which", () =>
  withFolder(async (folder) => {
    await using hub = new HubServer();
    const home = join(folder, "home");
    const model = join(folder, "model");
    await Deno.mkdir(join(home, ".cache/huggingface"), { recursive: true });
    await Deno.mkdir(model);
    await writeTinyModel(model);
    await Deno.writeTextFile(join(model, "chat_template.jinja"), TEMPLATE);
    for (const name of ["train.jsonl", "held_out.jsonl"]) {
      await Deno.writeTextFile(join(folder, name), '{"text": "abcdefghijkl"}\n'.repeat(4));
    }
    const files = [...Deno.readDirSync(model)].map(({ name }) =>
      [name, Deno.readFileSync(join(model, name))] as const
    );
    hub.add(NAME, Object.fromEntries(files));

    const run = async (permissions: readonly string[], words: readonly string[]) => {
      const [name] = words;
      const given = permissions.map((flag) =>
        flag.replaceAll("$HOME", home).replace("huggingface.co,*.hf.co", "127.0.0.1")
          // In a clone, the worker's code is read as files are.
          .replace(/^--allow-read=.*$/, (all) => `${all},${join(root, "src")}`)
      );
      const denied = DENIED.filter((kind) =>
        !given.some((flag) => flag.startsWith(`--allow-${kind}`))
      )
        .map((kind) => `--deny-${kind}`);
      const small = (SMALL[name] ?? "").split(" ").filter((word) =>
        word !== "" && !words.includes("--resume-from")
      );
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--no-prompt", "--no-lock", "--no-check", ...denied, ...given],
          ...[join(root, "cli.ts"), ...words.map((word) => word.replace("ORG/", "me/")), ...small],
        ],
        cwd: folder,
        env: {
          HOME: home,
          HF_ENDPOINT: hub.endpoint,
          HF_TOKEN: TOKEN,
          DENO_DIR: denoFolder,
          XDG_RUNTIME_DIR: folder,
          NO_COLOR: "1",
        },
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const input = child.stdin.getWriter();
      await input.write(new TextEncoder().encode("Hello\n")).catch(() => {});
      await input.close().catch(() => {});
      const { code, stdout, stderr } = await child.output();
      const decoder = new TextDecoder();
      return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
    };

    const lines = await linesOf("SECURITY.md");
    assertEquals(
      COMMANDS.map(({ name }) => name).filter((name) =>
        !lines.some(({ words }) => words[0] === name)
      ),
      [],
      "commands without a line",
    );
    for (const { permissions, words } of lines) {
      const line = `${permissions.join(" ")} ${words.join(" ")}`;
      for (const missing of permissions) {
        const { code, err } = await run(permissions.filter((flag) => flag !== missing), words);
        const [flag] = missing.split("=");
        const said = err.trim().split("\n").filter((text) => !/^(note|up|down)/.test(text));
        assertEquals([code, said.length], [1, 1], `${line}\nwithout ${missing}:\n${err}`);
        assert(said[0].startsWith("error: ") && said[0].includes(flag), `${line}\n${said[0]}`);
      }
      const { code, out, err } = await run(permissions, words);
      assertEquals(code, 0, `${line}\n${err}`);
      assert(out !== "", line);
      assert(!(out + err).includes(TOKEN), line);
    }
  }));

/** Where Deno keeps packages: with another home it would look elsewhere. */
const denoFolder = JSON.parse(
  new TextDecoder().decode(
    new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).outputSync().stdout,
  ),
).denoDir;
