import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { makeFiles, writeFiles } from "../../../examples/tiny/generator/make.ts";
import { FileError } from "../../../src/errors.ts";
import { slowTest } from "../../support/slow.ts";

const STALE =
  'is stale: run "deno run -A examples/tiny/generator/make.ts" and commit what it writes';

slowTest("the committed files of the tiny model are what the generator writes", async () => {
  for (const [name, content] of makeFiles()) {
    if (name.startsWith("corpus/")) continue; // not committed; corpus.sha256 stands for it
    const path = join("examples/tiny", name);
    assertEquals(await Deno.readTextFile(path) === content, true, `${path} ${STALE}`);
  }
});

slowTest("every file is written, and what else is in the folder stays", async () => {
  const files = makeFiles();
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "out/model"), { recursive: true });
    await Deno.writeTextFile(join(folder, "out/model/model.safetensors"), "weights");
    await writeFiles(join(folder, "out"), files);
    for (const [name, content] of files) {
      assertEquals(await Deno.readTextFile(join(folder, "out", name)) === content, true, name);
    }
    assertEquals(
      await Deno.readTextFile(join(folder, "out/model/model.safetensors")),
      "weights",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an output folder that is a file is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "out");
    await Deno.writeTextFile(file, "mine");
    await assertRejects(
      () => writeFiles(file, new Map([["model/config.json", "{}"]])),
      FileError,
      file,
    );
    assertEquals(await Deno.readTextFile(file), "mine");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (
  const [args, message] of [
    [["--outt", "x"], '"--outt" is not an option'],
    [["x"], '"x" is not an option'],
    [["--out"], "--out has no value"],
  ] as const
) {
  Deno.test(`make.ts ${args.join(" ")} ends with one sentence and writes nothing`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "examples/tiny/generator/make.ts", ...args],
    }).output();
    const decoder = new TextDecoder();
    assertEquals([code, decoder.decode(stdout)], [1, ""]);
    const sentence = decoder.decode(stderr).trimEnd();
    assertStringIncludes(sentence, message);
    assertEquals(sentence.split("\n").length, 1);
  });
}
