/**
 * The commands of README.md and the pages. Every one is read by the tables of flags; those of README.md,
 * TRAINING.md and USE.md run here in their order, on a tiny model and two steps, with what they name on a
 * hub on a local one. `cli/data_test.ts`, `cli/hub_test.ts` and `cli/chat_template_test.ts` run those of
 * DATA.md, HUB.md and CHAT.md.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { COMMANDS, main } from "../src/cli/main.ts";
import { kebabCase } from "../src/cli/flags.ts";
import { parseFlags } from "../src/cli/parse_flags.ts";
import { translateWords } from "../src/cli/other_names.ts";
import { exists } from "../src/io/exists.ts";
import { HubServer } from "./support/hub_server.ts";
import { targetNames } from "./fuzz/frame/target.ts";
import { withFolder } from "./support/io.ts";
import { TestTerminal } from "./support/terminal.ts";

const root = new URL("../", import.meta.url).pathname;
const tiny = join(root, "examples/tiny");
const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  ...[...Deno.readDirSync(join(root, "docs"))].map(({ name }) => `docs/${name}`)
    .filter((name) => name.endsWith(".md")).sort(),
];

/** How the pages start this package's command line. */
const CLI = /^deno run (?:(?:-A|--allow-[\w-]+(?:=\S+)?) )*(?:jsr:@falqon\/webgpu\/cli|cli\.ts) /;
/** Programs of others, which a page names as the next step. */
const OTHERS = /^(vllm|python3?|llama-\S+|ollama|mlx_lm\.\w+|hf|npm|brew|winget) /;

/** Lines of shell of a page, comments away, lines that end in a backslash joined. */
async function commandsOf(page: string): Promise<string[]> {
  const text = await Deno.readTextFile(join(root, page));
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
    block.replace(/\\\n\s*/g, "").trim().split("\n")
  ).map((line) => line.replace(/ +# .*$/, "").replace(/\bfq /, "deno run -A cli.ts ").trim());
}

/** Words of a line of shell: quotes group. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|\S+/g)].map(([word, a, b]) => a ?? b ?? word);
}

/** Checks a line of this package's command line by its tables. */
function expectKnown(line: string, where: string): void {
  const [first, ...rest] = words(line);
  const [name, args] = first === "help" ? [rest[0], []] : [first, rest];
  const command = COMMANDS.find((command) => command.name === name);
  assert(command, `${where}: no command ${name}`);
  const names: string[] = [];
  const given = translateWords(args, command.flags, (hint) => names.push(hint));
  parseFlags(given, command.flags, (hint) => names.push(hint));
  assertEquals(names, [], `${where}: a name that is not today's`);
}

/** Every name of a flag of the scripts in a folder, which must be in one of its sources. */
async function sourcesOf(folder: string): Promise<string> {
  const files = [...Deno.readDirSync(join(root, folder))].filter(({ name }) =>
    name.endsWith(".ts")
  );
  const texts = files.map(({ name }) => Deno.readTextFile(join(root, folder, name)));
  return (await Promise.all(texts)).join("\n");
}

Deno.test("every command of every page is one that there is, with flags that it has", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(root, "deno.json")));
  const sources = await sourcesOf("bench") + await sourcesOf("scripts/trouble");
  let known = 0;
  for (const page of pages) {
    for (const line of await commandsOf(page)) {
      const where = `${page}: ${line}`;
      const [, ...piped] = line.split(" | ");
      const own = piped.at(-1) ?? line;
      const task = line.match(/^(?:npx -y deno@2\.9\.6|deno) task (\w+)$/);
      const fuzz = line.match(/^deno task fuzz (\S+)/);
      const script = line.replace(/^\w+=\S+ /, "")
        .match(/^deno run (?:-A|--no-lock| )+((?:bench|scripts)\/[\w/]+\.ts)(.*)$/);
      const tests = /^deno test -A /.test(line) ? line.match(/tests\/[\w/.]+/g) : null;
      if (CLI.test(own)) {
        expectKnown(own.replace(CLI, ""), where);
        known++;
      } else if (tests) {
        for (const path of tests) await Deno.stat(join(root, path));
      } else if (task) {
        assert(Object.hasOwn(tasks, task[1]), where);
      } else if (fuzz) {
        assert(["--list", ...targetNames()].includes(fuzz[1]), where);
      } else if (script) {
        await Deno.stat(join(root, script[1]));
        for (const [, flag] of script[2].matchAll(/ --([a-z-]+)/g)) {
          const camel = flag.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
          const isThere = [flag, camel].some((name) => sources.includes(name)) ||
            COMMANDS.some(({ flags }) => Object.keys(flags).map(kebabCase).includes(flag));
          assert(isThere, `${where}: no --${flag}`);
        }
      } else {
        assert(OTHERS.test(own) || /^echo /.test(line), `${where}: nothing knows how to check it`);
      }
    }
  }
  assert(known > 35, `only ${known} commands`);
});

/** A folder with all that the pages begin with: a model, rows, an adapter's and a run's folder. */
function withExample(test: (hub: HubServer) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await using hub = new HubServer();
    const model: Record<string, Uint8Array<ArrayBuffer> | string> = {
      "chat_template.jinja":
        "{% for m in messages %}{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}",
    };
    for (const { name } of Deno.readDirSync(join(tiny, "model"))) {
      model[name] = await Deno.readFile(join(tiny, "model", name));
    }
    await Deno.mkdir(join(folder, "model"));
    for (const [name, content] of Object.entries(model)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(join(folder, "model", name), bytes);
    }
    const text = await Deno.readTextFile(join(tiny, "instructions_train.jsonl"));
    const rows = text.trim().split("\n").slice(0, 40);
    await Deno.writeTextFile(join(folder, "train.jsonl"), rows.join("\n"));
    await Deno.writeTextFile(join(folder, "held_out.jsonl"), rows.slice(0, 6).join("\n"));
    const conversation = [{ role: "user", content: "Where does an otter live?" }];
    await Deno.writeTextFile(join(folder, "conversation.json"), JSON.stringify(conversation));
    hub.add("HuggingFaceTB/SmolLM2-135M-Instruct", model);
    const renamed = rows.map((row) => JSON.parse(row)).map(({ prompt, completion }) =>
      JSON.stringify({ question: prompt, answer: completion })
    );
    hub.add("openai/gsm8k", {
      "README.md":
        "---\nconfigs:\n- {config_name: main, data_files: [{split: train, path: main/train*}]}\n---\n",
      "main/train.jsonl": renamed.join("\n"),
    }, { kind: "datasets" });
    const here = Deno.cwd();
    const variables = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(folder, "home") };
    const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    Deno.chdir(folder);
    try {
      await test(hub);
    } finally {
      Deno.chdir(here);
      for (const [name, value] of before) {
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    }
  });
}

/** What makes a command small; flags that are given again win. */
const SMALL: Readonly<Record<string, string>> = {
  train: "--steps 2 --batch-size 2 --sequence-length 64",
  eval: "--batch-size 2 --sequence-length 64",
  merge: "",
  chat: "--max-new-tokens 2",
  generate: "--max-new-tokens 2",
};

/** Runs a line of a page, expects that it succeeds, and gives what it writes. */
async function run(line: string): Promise<string> {
  const parts = line.split(" | ");
  const input = parts.length > 1 ? words(parts[0]).slice(1).join(" ") + "\n" : "Hello\n";
  const given = words(parts.at(-1)!.replace(CLI, ""));
  const more = (SMALL[given[0]] ?? "").split(" ").filter((word) => word !== "");
  const output = given[given.indexOf("--output-dir") + 1];
  if (given.includes("--output-dir")) await remove(output); // a page may show several ways
  const terminal = new TestTerminal(null, input);
  const code = await main([...given, ...more], terminal);
  assertEquals(code, 0, `${line}\n${terminal.err}`);
  assert(terminal.out !== "", line);
  return terminal.out;
}

async function remove(folder: string): Promise<void> {
  await Deno.remove(folder, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** The lines of a page that are this package's. */
async function ownCommands(page: string): Promise<string[]> {
  return (await commandsOf(page)).filter((line) => CLI.test(line.split(" | ").at(-1)!));
}

Deno.test("the commands of README.md run in their order", () =>
  withExample(async (hub) => {
    const lines = await ownCommands("README.md");
    assert(lines.length >= 10, `${lines.length} commands`);
    for (const line of lines) if (line.startsWith("deno run -A")) await run(line);
    assert(hub.log.some((entry) => entry.includes("gsm8k")), "nothing was asked of the hub");
    assert((await Deno.stat("mine/config.json")).isFile);
    const text = await Deno.readTextFile(join(root, "README.md"));
    const [, yaml] = text.match(/^```yaml\n([\s\S]*?)^```/m)!;
    await Deno.writeTextFile("run.yaml", yaml);
    await run("deno run -A cli.ts train --config run.yaml --output-dir ./configured");
  }));

Deno.test("the commands of docs/TRAINING.md run in their order", () =>
  withExample(async () => {
    const lines = await ownCommands("docs/TRAINING.md");
    assertEquals(lines.length, 6);
    for (const line of lines) {
      const out = await run(line);
      if (line.includes("--find-learning-rate")) {
        assertMatch(out, /\nbest: --learning-rate [\d.]+ /);
      }
      if (line.includes("--load-best")) assert(await exists("out/checkpoint-2"), out);
    }
  }));

Deno.test("the commands of docs/USE.md run in their order", () =>
  withExample(async () => {
    const train = "deno run -A cli.ts train --model ./model --data train.jsonl --rank 8";
    await run(`${train} --output-dir ./out --format int8`);
    await run(`${train} --output-dir ./adapter --method lora`);
    const lines = await ownCommands("docs/USE.md");
    assert(lines.length >= 10, `${lines.length} commands`);
    for (const line of lines) await run(line);
  }));
