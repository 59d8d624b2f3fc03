import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import type { Model } from "../../mod.ts";
import { readConfigFile } from "../../src/cli/config_file.ts";
import { report, UsageError } from "../../src/cli/errors.ts";
import {
  camelCase,
  choice,
  columns,
  type FlagTable,
  kebabCase,
  list,
  number,
  path,
  readOptions,
  renamed,
  text,
  toggle,
  whole,
} from "../../src/cli/flags.ts";
import { parseFlags } from "../../src/cli/parse_flags.ts";
import { formatBytes, formatDuration } from "../../src/cli/format.ts";
import { nearest } from "../../src/cli/nearest.ts";
import { GPU_FLAGS, RUN_FLAGS } from "../../src/cli/shared_flags.ts";
import { trainerOptions } from "../../src/cli/run_folder.ts";
import { TRAIN_FLAGS } from "../../src/cli/train_flags.ts";
import { DataError, FileError, OptionError } from "../../src/errors.ts";
import { flattenOptions } from "../../src/train/option_groups.ts";
import { resolveOptions } from "../../src/train/options.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";

const FLAGS = {
  name: text("TEXT", "A text"),
  outputDir: path("DIR", "A path"),
  rate: number("A number"),
  warmupSteps: whole("A whole number"),
  onByDefault: toggle("A switch", "on"),
  extra: toggle("A switch"),
  kind: choice(["one", "two"], "A choice"),
  names: list("NAMES", "Words"),
  map: columns("Pairs"),
};

const parse = (line: string) => parseFlags(line === "" ? [] : line.split(" "), FLAGS);

Deno.test("flags of every kind are read; what is not given is not there", () => {
  assertEquals(parse("").values, {});
  assertEquals(
    parse(
      "dir --name=a --output-dir ./x --rate -1 --warmup-steps 12 --no-on-by-default --extra " +
        "--kind two --names a,b --map prompt=question,completion=answer",
    ),
    {
      words: ["dir"],
      values: {
        name: "a",
        outputDir: "./x",
        rate: -1,
        warmupSteps: 12,
        onByDefault: false,
        extra: true,
        kind: "two",
        names: ["a", "b"],
        map: { prompt: "question", completion: "answer" },
      },
    },
  );
  assertEquals(parse("--rate=2e-4 --extra=false").values, { rate: 2e-4, extra: false });
  assertEquals(parse("--rate 1 --rate 2").values, { rate: 2 }, "the last one counts");
  assertEquals(parseFlags(["--name", ""], FLAGS), { values: { name: "" }, words: [] });
  assertEquals(parse("--name -_").values, { name: "-_" });
});

Deno.test("a flag that is unknown or has a value of the wrong kind is refused", () => {
  const cases: [string, string][] = [
    ["--wramup-steps 1", "There is no flag --wramup-steps: did you mean --warmup-steps?"],
    ["--outputDir=x", "There is no flag --outputDir: did you mean --output-dir?"],
    ["--no-rate", "There is no flag --no-rate: did you mean --rate?"],
    ["-x", "There is no flag -x"],
    ["--output_dir x", "There is no flag --output_dir: did you mean --output-dir?"],
    ["--_=1", "There is no flag --_: --help lists"],
    ["--_ x", "There is no flag --_: --help lists"],
    ["-_", "There is no flag -_: --help lists"],
    ["--rate fast", '--rate has the value "fast": give a number'],
    ["--rate", "--rate has no value: give a number"],
    ["--rate Infinity", "give a number"],
    ["--warmup-steps 1.5", '--warmup-steps has the value "1.5": give a whole number'],
    ["--output-dir", "--output-dir has no value: give a path"],
    ["--kind three", '--kind has the value "three": give one of one, two'],
    ["--names a,,b", '--names has the value "a,,b": give names with commas between'],
    ["--map prompt", "key=column"],
  ];
  for (const [line, message] of cases) assertThrows(() => parse(line), OptionError, message);
});

Deno.test("options of a file have either spelling, and their own types", () => {
  const object = {
    "warmup-steps": 3,
    outputDir: "x",
    rate: "2e-4",
    extra: false,
    names: ["a", "b"],
    map: { prompt: "q" },
  };
  assertEquals(readOptions(object, FLAGS, "the file"), {
    warmupSteps: 3,
    outputDir: "x",
    rate: 2e-4,
    extra: false,
    names: ["a", "b"],
    map: { prompt: "q" },
  });
  const cases: [Record<string, unknown>, string][] = [
    [{ warmup_steps: 3 }, 'no option "warmup_steps" (in the file): did you mean "warmupSteps"?'],
    [{ toString: 1 }, 'There is no option "toString"'],
    [{ "warmup-steps": 1, warmupSteps: 2 }, 'The option "warmupSteps" is there twice'],
    [{ extra: "yes" }, '"extra" in the file has the value "yes": give true or false'],
    [{ outputDir: null }, "has the value null: give a path"],
    [{ names: [1] }, "has the value [1]: give names"],
    [{ map: { prompt: 1 } }, "give key=column pairs"],
    [{ map: { promt: "q" } }, 'to the key "promt"'],
  ];
  for (const [bad, message] of cases) {
    assertThrows(() => readOptions(bad, FLAGS, "the file"), OptionError, message);
  }
});

Deno.test("earlier names of flags are taken, on the command line and in files, with a hint each", () => {
  const table = {
    outputDir: renamed(path("DIR", "A path"), "output"),
    updateStats: renamed(toggle("A switch"), "countUpdates"),
    gradAccumSteps: renamed(whole("A number"), "gradAccum", "gradientAccumulationSteps"),
  };
  const hints: string[] = [];
  const onHint = (hint: string) => void hints.push(hint);
  const read = (line: string) => parseFlags(line.split(" "), table, onHint);
  const all = { outputDir: "x", updateStats: false, gradAccumSteps: 2 };
  assertEquals(read("--output x --no-count-updates --grad-accum 2"), { values: all, words: [] });
  assertEquals(read("--output-dir x --no-update-stats --grad-accum-steps 2").values, all);
  assertEquals(read("--gradient-accumulation-steps=2").values, { gradAccumSteps: 2 });
  const file = { output: "x", "count-updates": false, gradAccumSteps: 2 };
  assertEquals(readOptions(file, table, "the file", onHint), all);
  assertEquals(hints, [
    "--output is called --output-dir now",
    "--count-updates is called --update-stats now",
    "--grad-accum is called --grad-accum-steps now",
    "--gradient-accumulation-steps is called --grad-accum-steps now",
    '"output" is called "outputDir" now (in the file)',
    '"count-updates" is called "updateStats" now (in the file)',
  ]);
  assertThrows(
    () => read("--output x --output-dir y"),
    UsageError,
    "--output is called --output-dir now: give one of the two",
  );
  const twice = { output: "x", outputDir: "y" };
  assertThrows(
    () => readOptions(twice, table, "the file"),
    UsageError,
    '"outputDir" is there twice',
  );
});

Deno.test("every flag that had another name is still taken", () => {
  const tables = [TRAIN_FLAGS, RUN_FLAGS, GPU_FLAGS] as FlagTable[];
  const found = tables.flatMap((table) =>
    Object.entries(table).flatMap(([name, { alias = [] }]) => alias.map((old) => `${old} ${name}`))
  );
  assertEquals([...new Set(found)].sort(), [
    "checkpointing gradientCheckpointing",
    "countUpdates updateStats",
    "gpu provider",
    "gradAccum gradAccumSteps",
    "gradientAccumulationSteps gradAccumSteps",
    "map columns",
    "output outputDir",
    "precision base",
    "resume resumeFrom",
    "scaling scaleGranularity",
  ]);
});

Deno.test("config files are JSON or YAML by their ending", () =>
  withFolder(async (folder) => {
    const write = async (name: string, content: string) => {
      await Deno.writeTextFile(join(folder, name), content);
      return join(folder, name);
    };
    const want = { rate: 2e-4, names: ["a", "b"] };
    const json = await write("a.json", '{"rate": 2e-4, "names": "a,b"}');
    const yaml = await write("a.yaml", "rate: 2e-4 # a comment\nnames: [a, b]\n");
    for (const path of [json, yaml]) assertEquals(await readConfigFile(path, FLAGS), want);

    const bad: [string, string, typeof FileError | typeof UsageError, string][] = [
      ["b.json", '{"rate": ', FileError, "as JSON"],
      ["b.yml", "rate: [1", FileError, "as YAML"],
      ["c.yaml", "", FileError, "as its content is null: write options by their names"],
      ["e.yaml", "{rate: 1}: 2", FileError, "as YAML: a key is a mapping, as {…} is: write a word"],
      ["c.json", "[1]", FileError, "as its content is [1]"],
      ["d.json", '{"rat": 1}', UsageError, 'did you mean "rate"?'],
    ];
    for (const [name, content, type, message] of bad) {
      const path = await write(name, content);
      await assertRejects(() => readConfigFile(path, FLAGS), type, message);
    }
    for (const name of ["no.json", "no.yaml"]) {
      await assertRejects(
        () => readConfigFile(join(folder, name), FLAGS),
        FileError,
        "there is no such file",
      );
    }
  }));

Deno.test("the defaults that help names are those of the library", () => {
  const config = { maxPositionEmbeddings: 4096, hiddenSize: 4096 };
  const model = { config } as Model;
  const resolved = flattenOptions({ ...resolveOptions({ model, outputDir: "out" }) });
  let compared = 0;
  for (const [name, flag] of Object.entries(TRAIN_FLAGS)) {
    const given: Record<string, unknown> = { ...trainerOptions({ [name]: flag as never }) };
    const [option] = Object.keys(flattenOptions(given));
    const value = resolved[option];
    if (value === undefined || name === "learningRate") continue; // that depends on the model
    const words = flag.default ?? "off";
    const said = typeof value === "number"
      ? parseFloat(words)
      : typeof value === "boolean"
      ? words === "on"
      : words;
    assertEquals(said, value, `--${name}`);
    compared++;
  }
  assert(compared > 15, `only ${compared} were compared`);
});

Deno.test("every command explains its flags; the list of commands names it", async () => {
  const overview = await runCommand("--help");
  for (const name of ["train", "eval", "generate", "inspect", "devices"]) {
    assert(overview.out.includes(`\n  ${name} `));
    const { code, out } = await runCommand(`${name} --help`);
    assertEquals(code, 0);
    assert(out.includes(`Usage: deno run -A jsr:@falqon/webgpu/cli ${name}`), out);
    assert(out.split("\n").every((line) => line.length <= 100), out);
    assertEquals((await runCommand(`${name} -h`)).out, out);
  }
  const { out } = await runCommand("train --help");
  for (const name of Object.keys(TRAIN_FLAGS)) assert(out.includes(`${kebabCase(name)}`), name);
  assert(out.includes("--[no-]shuffle ") && out.includes("--overwrite "), out);
});

Deno.test("command lines that cannot be understood end with code 2 and a sentence", async () => {
  const cases: [string, string][] = [
    ["trian", 'error: There is no command "trian": did you mean train?\n'],
    ["train --bach-size 4", "error: There is no flag --bach-size: did you mean --batch-size?\n"],
    ["train", "error: --model is missing: give it\n"],
    ["train --model x", "error: --data is missing: give it\n"],
    ["train here", 'error: "here" belongs to no flag: see train --help\n'],
    ["inspect", "error: Cannot inspect without MODEL: see inspect --help\n"],
    ["inspect a b", 'error: "b" belongs to no flag: see inspect --help\n'],
    [
      "generate --model x",
      "error: --prompt is missing: give it, or --messages with a conversation to answer\n",
    ],
  ];
  for (const [line, message] of cases) {
    assertEquals(await runCommand(line), { code: 2, out: "", err: message });
  }
});

Deno.test("errors made on purpose are sentences, mistakes show where they happened", () => {
  const reported = (error: unknown) => {
    const terminal = new TestTerminal();
    return [report(error, terminal), terminal.err.split("\n")[0], terminal.err.includes("    at ")];
  };
  assertEquals(reported(new DataError("No rows")), [1, "error: No rows", false]);
  assertEquals(reported(new UsageError("No flag")), [2, "error: No flag", false]);
  assertEquals(reported(new TypeError("oops")), [1, "unexpected error: TypeError: oops", true]);
  assertEquals(reported("oops"), [1, "unexpected error: oops", false]);
  assertEquals(reported(new Deno.errors.BrokenPipe("gone")), [1, "", false]);
});

Deno.test("names, numbers and near misses", () => {
  assertEquals(kebabCase("keepCheckpoints"), "keep-checkpoints");
  assertEquals(camelCase("keep-checkpoints"), "keepCheckpoints");
  assertEquals(nearest("setps", ["epochs", "steps", "eps"]), "steps");
  assertEquals(nearest("x", ["alpha", "beta"]), null);
  assertEquals(nearest("report-to", ["separator", "steps"]), null);
  assertEquals(nearest("merge", ["eval"]), null);
  assertEquals([12, 1536, 3 * 2 ** 30].map(formatBytes), ["12 bytes", "1.5 KiB", "3.0 GiB"]);
  assertEquals([59.4, 61, 7265].map(formatDuration), ["59s", "1m01s", "2h01m"]);
});
