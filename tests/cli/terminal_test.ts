import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { main } from "../../src/cli/main.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e";
const SHOWN = "\\u001b]0;owned\\u0007\\u009b2J\\u202e";
/** Everything that a terminal would obey, but line feeds and tabulators. */
const OBEYED = /[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/u;

Deno.test("results and messages show control characters, and obey none", () => {
  for (const isTerminal of [false, true]) {
    const terminal = new TestTerminal(null, "", isTerminal);
    terminal.stdout(`a ${HOSTILE}\n\tb\n`);
    terminal.stderr(`c ${HOSTILE}\n`);
    assertEquals([terminal.out, terminal.err], [`a ${SHOWN}\n\tb\n`, `c ${SHOWN}\n`]);
    terminal.out = "";
    terminal.stdout(`\x1b[0m`, true);
    assertEquals(terminal.out, isTerminal ? "\x1b[32m\\u001b[0m\x1b[0m" : "⟦\\u001b[0m⟧");
  }
});

Deno.test("what a model writes is data in a pipe, and harmless on a terminal", () => {
  const [pipe, terminal] = [false, true].map((isTerminal) =>
    new TestTerminal(null, "", isTerminal)
  );
  for (const { generated } of [pipe, terminal]) generated(`one\n\ttwo ${HOSTILE}`);
  assertEquals(pipe.out, `one\n\ttwo ${HOSTILE}`);
  assertEquals(terminal.out, `one\n\ttwo ${SHOWN}`);
});

/** Makes a tensor's entry in the header one of a name and a type that are hostile. */
async function spoilWeights(path: string): Promise<void> {
  const header = JSON.stringify({
    [`${HOSTILE}\nx`]: { dtype: HOSTILE, shape: [1], data_offsets: [0, 4] },
  });
  const bytes = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + bytes.length + 4);
  new DataView(file.buffer).setBigUint64(0, BigInt(bytes.length), true);
  file.set(bytes, 8);
  await Deno.writeFile(path, file);
}

Deno.test("names and values of files pass through no command to the terminal", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const data = join(folder, "rows.jsonl");
    await Deno.writeTextFile(data, JSON.stringify({ text: `abc\r${HOSTILE}` }) + "\n");
    const edit = async (name: string, changes: Record<string, unknown>) => {
      const path = join(folder, name);
      const fields = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...fields, ...changes }));
      return () => Deno.writeTextFile(path, JSON.stringify(fields));
    };
    const expectHarmless = async (what: string, wanted: string, ...line: string[]) => {
      const terminal = new TestTerminal(null, "", true);
      await main(line, terminal);
      const all = (terminal.out + terminal.err).replaceAll("\x1b[32m", "").replaceAll(
        "\x1b[0m",
        "",
      );
      assert(!OBEYED.test(all), `${what}: ${JSON.stringify(all)}`);
      assertStringIncludes(all, wanted, what);
    };
    const train = ["train", "--model", folder, "--data", data];
    await expectHarmless("rows that are shown", SHOWN, ...train, "--show-rows", "1");
    await expectHarmless("a name of a file", SHOWN, "inspect", `${folder}${HOSTILE}`);
    await expectHarmless("a flag", SHOWN, "train", `--${HOSTILE}`);
    await expectHarmless("a command", SHOWN, HOSTILE);
    await Deno.writeTextFile(join(folder, "bad.jsonl"), JSON.stringify({ [HOSTILE]: 1 }) + "\n");
    await expectHarmless(
      "keys of a row",
      SHOWN,
      ...train,
      "--data",
      join(folder, "bad.jsonl"),
      "--show-rows",
      "1",
    );
    await Deno.writeTextFile(join(folder, "c.json"), JSON.stringify({ [HOSTILE]: 1 }));
    await expectHarmless("keys of a config", SHOWN, "train", "--config", join(folder, "c.json"));
    await Deno.writeTextFile(join(folder, "c.yaml"), `"${SHOWN.replace("\\u009b", "")}: [`);
    await expectHarmless("a damaged config", "YAML", "train", "--config", join(folder, "c.yaml"));
    for (const changes of [{ hidden_act: HOSTILE }, { model_type: HOSTILE }]) {
      const undo = await edit("config.json", changes);
      await expectHarmless("a field of config.json", SHOWN, "inspect", folder);
      await undo();
    }
    await Deno.writeTextFile(
      join(folder, "chat_template.jinja"),
      `{{ raise_exception("${HOSTILE}") }}`,
    );
    await Deno.writeTextFile(data, JSON.stringify({ messages: [{ role: "user", content: "x" }] }));
    await expectHarmless("a word of a template", SHOWN, ...train, "--show-rows", "1");
    await spoilWeights(join(folder, "model.safetensors"));
    await expectHarmless("a tensor", SHOWN, "inspect", folder);
  }));

Deno.test("a message of several lines from a file is shown in one", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "c.json"), '{"\nerror: all is well\n": }');
    const { err } = await runCommand("train --config", join(folder, "c.json"));
    assertEquals(err.split("\n").length, 2, err);
  }));
