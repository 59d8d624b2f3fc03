/** Every flag of every command, from the tables that the commands are parsed by, with words that nobody means. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { kebabCase } from "../../src/cli/flags.ts";
import { COMMANDS, main } from "../../src/cli/main.ts";
import { NUMBERS } from "../fuzz/support/options.ts";
import { withFolder } from "../support/io.ts";
import { TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const WORDS = [
  ...NUMBERS,
  ...["-", "--", "a\0b", "é\ud800", "x".repeat(20_000), "constructor", "__proto__", "[]", "{}"],
  ...["=", "a=b", "prompt=", ",", ",,", "1e400m", "0m", "-1m", "../x", "\u001b[2J", "x\ny"],
];
/** Words of which some command takes each for something. */
const MEANT = ["lora", "int8", "f16", "linear", "dawn", "10m", "epoch", "1,2", "prompt=question"];

async function run(...words: string[]) {
  const terminal = new TestTerminal();
  const code = await main(words, terminal);
  return { code, err: terminal.err, out: terminal.out };
}

/** Holds an end that is no success to a sentence. */
function expectSentence(err: string, words: readonly string[]): void {
  const shown = `${words.map((word) => word.slice(0, 60)).join(" ")}: ${err.slice(0, 300)}`;
  assert(/^(note: .*\n)*error: [A-Z"-][^\n]+\n$/.test(err), shown);
  assert(err.length < 1000, `${err.length} characters: ${shown}`);
  assert(!/\[object|undefined|NaN bytes|not a function/.test(err), shown);
}

for (const { name, flags } of COMMANDS) {
  Deno.test(`every flag of ${name} takes what it wants, or says what that is`, async () => {
    for (const [flag, { placeholder }] of Object.entries(flags)) {
      const word = `--${kebabCase(flag)}`;
      const isSwitch = placeholder === null;
      const given = [
        [word],
        [`--no-${kebabCase(flag)}`],
        ...[...WORDS, ...MEANT, ...placeholder?.split("|") ?? []].map((value) => [
          `${word}=${value}`,
        ]),
        ...(isSwitch ? [] : WORDS.filter((it) => !it.startsWith("--")).map((it) => [word, it])),
        [`${word}.a=1`],
        [`-${word}=1`],
        [`${word}\n`],
      ];
      const results = { taken: 0, refused: 0 };
      // Help comes before the command's own work, and after its flags are read.
      for (const words of given) {
        if (flag === "config") continue; // a file that is read
        const { code, err } = await run(name, "--help", ...words);
        assert(code === 0 || code === 2 || code === 1, `${code}`);
        if (code === 0) results.taken++;
        else {
          expectSentence(err, [name, ...words]);
          results.refused++;
        }
      }
      if (flag === "config") continue;
      assert(results.taken > 0, `${word} takes nothing`);
      assert(results.refused >= 3, `${word} refuses only ${results.refused}`);
      if (!isSwitch) continue;
      assertEquals((await run(name, "--help", `${word}=x`)).code, 2, `${word}=x`);
    }
  });
}

Deno.test("numbers of inspect are taken or refused at once, whatever they are", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    await Deno.remove(join(folder, "model.safetensors"));
    const flags = COMMANDS.find(({ name }) => name === "inspect")!.flags;
    const usual = ["--method", "lora", "--batch-size", "1", "--sequence-length", "8"];
    for (const [name, { placeholder }] of Object.entries(flags)) {
      if (placeholder !== "N" && placeholder !== "X") continue;
      for (const number of ["-0", "-1", "1", "1e300", "9007199254740991", "2147483647"]) {
        const words = [...usual, `--${kebabCase(name)}`, number];
        const { code, err } = await run("inspect", folder, ...words);
        if (code !== 0) expectSentence(err, words);
      }
    }
    const { code, err } = await run("inspect", folder, "--batch-size", "9007199254740991");
    assertEquals(code, 1);
    assert(err.includes("as no GPU takes more than 16777216 tokens at a time"), err);
  }));
