import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { readConfigFile } from "../../src/cli/config_file.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { whole } from "../../src/cli/flags.ts";
import { readMessages } from "../../src/cli/messages_file.ts";
import { FalqonError, FileError, ModelError } from "../../src/errors.ts";
import { loadChatTemplate } from "../../src/io/chat_template.ts";
import { JsonFields, parseJson, readJson, showJson } from "../../src/io/json.ts";
import { readPeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { LARGEST_LIST, LARGEST_SETTINGS, LARGEST_WRITTEN } from "../../src/io/text_file.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { Weights } from "../../src/io/weights.ts";
import { readModelConfig } from "../../src/model/config.ts";
import { withFolder } from "../support/io.ts";
import { TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

/** A file that is read whole: its name, the most bytes that it may have, and what reads it. */
interface Reader {
  name: string;
  most: number;
  read(folder: string): Promise<unknown>;
}

const READERS: readonly Reader[] = [
  { name: "config.json", most: LARGEST_SETTINGS, read: readModelConfig },
  { name: "generation_config.json", most: LARGEST_SETTINGS, read: readModelConfig },
  { name: "tokenizer.json", most: LARGEST_LIST, read: (folder) => Tokenizer.load(folder) },
  {
    name: "tokenizer_config.json",
    most: LARGEST_SETTINGS,
    read: (folder) => Tokenizer.load(folder),
  },
  { name: "adapter_config.json", most: LARGEST_SETTINGS, read: readPeftAdapter },
  {
    name: "model.safetensors.index.json",
    most: LARGEST_LIST,
    read: async (folder) => {
      await Deno.remove(join(folder, "model.safetensors")).catch(() => {});
      await Weights.open(folder);
    },
  },
  {
    name: "chat_template.jinja",
    most: LARGEST_WRITTEN,
    read: (folder) => loadChatTemplate(folder, new JsonFields({}, "x"), undefined, () => true),
  },
  {
    name: "template.jinja",
    most: LARGEST_WRITTEN,
    read: (folder) =>
      loadChatTemplate(
        folder,
        new JsonFields({}, "x"),
        join(folder, "template.jinja"),
        () => true,
      ),
  },
  {
    name: "messages.json",
    most: LARGEST_SETTINGS,
    read: (folder) => readMessages(join(folder, "messages.json"), new TestTerminal()),
  },
  {
    name: "options.json",
    most: LARGEST_WRITTEN,
    read: (folder) => readConfigFile(join(folder, "options.json"), {}),
  },
  {
    name: "options.yaml",
    most: 1 << 16,
    read: (folder) => readConfigFile(join(folder, "options.yaml"), {}),
  },
];

/** What stands where a file should, and what is then said. */
const OTHERS: Readonly<Record<string, { make(path: string): Promise<unknown>; message: string }>> =
  {
    "a pipe": {
      make: (path) => new Deno.Command("mkfifo", { args: [path] }).output(),
      message: "it is no plain file but a pipe, a socket or a device; give the path of a file",
    },
    "a device without end": {
      make: (path) => Deno.symlink("/dev/zero", path),
      message: "it is no plain file but a pipe, a socket or a device; give the path of a file",
    },
    "a folder": { make: (path) => Deno.mkdir(path), message: "it is a folder" },
    "a link to itself": {
      make: (path) => Deno.symlink(path, path),
      message: "its links lead to each other",
    },
    "UTF-16": {
      make: (path) => Deno.writeFile(path, new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0])),
      message: "it is UTF-16 text; save it as UTF-8",
    },
    "other bytes": {
      make: (path) => Deno.writeFile(path, new Uint8Array([0x22, 0xc3, 0x28, 0x22])),
      message: "it is not UTF-8 text; save it as UTF-8, or fetch it again",
    },
  };

for (const { name, most, read } of READERS) {
  Deno.test({
    name: `what is no plain text of a size in place of ${name} is refused at once`,
    ignore: Deno.build.os === "windows",
    fn: () =>
      withFolder(async (folder) => {
        const tooLarge = {
          make: async (path: string) => {
            await Deno.writeTextFile(path, "{}");
            await Deno.truncate(path, most + 1); // takes no space on the disk
          },
          message: `it has ${most + 1} bytes, and such a file at most ${most}`,
        };
        await writeTinyModel(folder);
        const path = join(folder, name);
        for (const [what, { make, message }] of Object.entries({ ...OTHERS, tooLarge })) {
          await Deno.remove(path, { recursive: true }).catch(() => {});
          await make(path);
          const error = await assertRejects(() => read(folder), FileError, message);
          assert(error.message.includes(name), `${what}: ${error.message}`);
        }
      }),
  });
}

Deno.test("weights that are a pipe or a device are refused without opening them", () =>
  withFolder(async (folder) => {
    for (const what of ["a pipe", "a device without end"]) {
      const path = join(folder, what);
      await OTHERS[what].make(path);
      await assertRejects(() => SafetensorsFile.open(path), FileError, "it is not a file");
    }
  }));

Deno.test("a byte order mark before JSON is no part of it", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.json");
    await Deno.writeTextFile(path, '\ufeff{"a": "\u00e9"}');
    assertEquals(await readJson(path), { a: "é" });
  }));

Deno.test("JSON is nested up to 128 levels, and brackets in strings are none", async () => {
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assertEquals(JSON.stringify(parseJson(nested(128))), nested(128));
  const text = JSON.stringify({ '["\\': `${'\\"'}${"[{".repeat(200)}`, b: [] });
  assertEquals(parseJson(text), JSON.parse(text));
  await withFolder(async (folder) => {
    for (
      const [content, message] of [
        [nested(129), "it is nested more than 128 levels deep"],
        [nested(100_000), "it is nested more than 128 levels deep"],
        ["[".repeat(100_000), "as JSON"],
        ['{"a": \0}', "as JSON"],
        ["", "as JSON"],
      ]
    ) {
      for (const name of ["config.json", "messages.json"]) {
        const path = join(folder, name);
        await Deno.writeTextFile(path, content);
        await assertRejects(
          () => name === "config.json" ? readJson(path) : readMessages(path, new TestTerminal()),
          FalqonError,
          message,
        );
      }
    }
  });
});

Deno.test("a value is shown as JSON, as much as fits a sentence", () => {
  const values = [1, "a\n", null, true, [1, [2, { a: [] }]], { b: undefined, "\ud800": {} }, []];
  for (const value of values) assertEquals(showJson(value), JSON.stringify(value));
  assertEquals(showJson(undefined), "nothing");
  assertEquals(showJson("x".repeat(200)), `"${"x".repeat(76)}...`);
  const shared: unknown[] = Array.from({ length: 60 }).reduce<unknown[]>(
    (inner) => Array(10).fill(inner),
    [],
  ); // 10 ** 60 values
  assertEquals(showJson(shared), "[".repeat(61) + "],[],[],[],[],[]".slice(0, 16) + "...");
  const circle: unknown[] = [];
  circle.push({ circle });
  assertEquals(showJson(circle), '[{"circle":'.repeat(7) + "...");
});

Deno.test("a YAML file is options and nothing else", () =>
  withFolder(async (folder) => {
    const path = join(folder, "a.yaml");
    const read = async (content: string) => {
      await Deno.writeTextFile(path, content);
      return await readConfigFile(path, { rank: whole("") });
    };
    assertEquals(await read("rank: &a 8\n"), { rank: 8 });
    const letters = [..."abcdefgh"];
    const bomb = letters.map((letter, i) =>
      `${letter}: &${letter} [${Array(10).fill(i === 0 ? "x" : `*${letters[i - 1]}`)}]\n`
    ).join("  ");
    const merged = `<<: [${Array(8000).fill("*a")}]\n`;
    const cases: [string, typeof FalqonError | typeof UsageError, string][] = [
      [`rank:\n  ${bomb}`, UsageError, `"rank" in "${path}" has the value {"a":["x",`],
      [`rank: &a [*a]`, UsageError, "has the value [[["],
      [`rank: 8\nlogs: &a {b: 1}\n${merged}`, UsageError, 'There is no option "logs"'],
      ["rank: 2020-01-01", UsageError, 'has the value "2020-01-01": give a whole number'],
      ["rank: !!js/function 'a'", FileError, "Cannot resolve unknown tag"],
      ["rank: !!binary aGVsbG8=", FileError, "Cannot resolve unknown tag"],
      ["rank: 1\nrank: 2", FileError, "duplicated key at line 2, column 1; repair the file"],
      ["rank: 1\n---\nrank: 2", FileError, "more than 1 document"],
      ["__proto__: {rank: 8}", UsageError, 'There is no option "__proto__"'],
      ["[".repeat(30_000), FileError, "it is nested too deeply; repair the file"],
      ["- ".repeat(30_000), FileError, "it is nested too deeply; repair the file"],
      ["rank: .inf", UsageError, "give a whole number"],
      ["rank: \0", FileError, "as YAML"],
    ];
    for (const [content, type, message] of cases) {
      await assertRejects(() => read(content), type, message);
    }
  }));

Deno.test("numbers that JSON has and no model could are refused by their field", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const path = join(folder, "config.json");
    const good = await Deno.readTextFile(path);
    for (const number of ["1e999", "-0", "1e-400", "9007199254740993", '"\\ud800"', "[[[]]]"]) {
      await Deno.writeTextFile(
        path,
        good.replace(/"hidden_size": *\d+/, `"hidden_size":${number}`),
      );
      await assertRejects(() => readModelConfig(folder), ModelError, "hidden_size");
    }
  }));
