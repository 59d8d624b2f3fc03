import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FileError } from "../../src/errors.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { Weights } from "../../src/io/weights.ts";
import { MODELS } from "../support/golden.ts";
import { withFolder } from "../support/io.ts";

const tensor = (name: string, ...bytes: number[]) => ({
  name,
  dtype: "U8" as const,
  shape: [bytes.length],
  data: () => Uint8Array.from(bytes),
});

async function writeShards(folder: string, weightMap: unknown): Promise<void> {
  await writeSafetensors(`${folder}/model-1.safetensors`, [tensor("a", 1, 2), tensor("b", 3)]);
  await writeSafetensors(`${folder}/model-2.safetensors`, [tensor("c", 4, 5, 6)]);
  const index = JSON.stringify({ metadata: { total_size: 6 }, weight_map: weightMap });
  await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, index);
}

Deno.test("sharded weights read like one file", () =>
  withFolder(async (folder) => {
    await writeShards(folder, {
      a: "model-1.safetensors",
      b: "model-1.safetensors",
      c: "model-2.safetensors",
    });
    using weights = await Weights.open(folder);
    assertEquals([...weights.names()].sort(), ["a", "b", "c"]);
    assert(weights.has("c") && !weights.has("d"));
    assertEquals(weights.info("c").shape, [3]);
    assertEquals(await weights.read("a"), Uint8Array.of(1, 2));
    assertEquals(await weights.readRange("c", 1, 2), Uint8Array.of(5, 6));
    assertThrows(() => weights.info("d"), FileError, 'Cannot find the tensor "d"');
    await assertRejects(() => weights.read("d"), FileError, 'Cannot find the tensor "d"');
    await assertRejects(() => weights.readRange("d", 0, 1), FileError, "Cannot find the tensor");
    weights.close();
    await assertRejects(() => weights.read("a"), FileError, "is closed");
  }));

Deno.test("a tensor can be read under another name", () =>
  withFolder(async (folder) => {
    await writeSafetensors(`${folder}/model.safetensors`, [tensor("head", 7, 8, 9)]);
    using weights = await Weights.open(folder);
    weights.alias("embedding", "head");
    assert(weights.has("embedding") && weights.has("head"));
    assertEquals([...weights.names()], ["head", "embedding"]);
    assertEquals(weights.info("embedding").shape, [3]);
    assertEquals(await weights.read("embedding"), Uint8Array.of(7, 8, 9));
    assertEquals(await weights.readRange("embedding", 1, 1), Uint8Array.of(8));

    weights.rename((name) => `model.${name}`);
    assertEquals([...weights.names()], ["model.head", "model.embedding"]);
    assert(!weights.has("head"));
    assertEquals(await weights.read("model.embedding"), Uint8Array.of(7, 8, 9));
  }));

Deno.test("an index that does not match its shards is refused", () =>
  withFolder(async (folder) => {
    const cases: [unknown, string][] = [
      [{ c: "model-1.safetensors" }, 'Cannot find the tensor "c"'],
      [{ a: "model-1.safetensors", c: "model-3.safetensors" }, 'the shard "model-3.safetensors"'],
      [{ a: "../model-1.safetensors" }, 'places "a" in "../model-1.safetensors"'],
      [{ a: "/etc/passwd" }, 'places "a" in "/etc/passwd"'],
      [{ a: ".." }, 'places "a" in ".."'],
      [{ a: 1 }, 'places "a" in 1'],
      [undefined, "weight_map must map tensor names to files, and is nothing"],
      [[], "weight_map must map tensor names to files, and is []"],
    ];
    for (const [weightMap, message] of cases) {
      await writeShards(folder, weightMap);
      await assertRejects(() => Weights.open(folder), FileError, message);
    }
    await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, "{");
    await assertRejects(() => Weights.open(folder), FileError, "as JSON");
  }));

Deno.test("a folder without safetensors weights is refused", () =>
  withFolder(async (folder) => {
    await assertRejects(() => Weights.open(folder), FileError, "Cannot find weights in");
    await assertRejects(() => Weights.open(`${folder}/no`), FileError, "Cannot find weights in");
  }));

for (const { name, folder, test } of MODELS) {
  test(`${name}: the weights of a folder that transformers wrote open`, async () => {
    using weights = await Weights.open(folder);
    const { vocab_size, hidden_size } = JSON.parse(
      await Deno.readTextFile(`${folder}/config.json`),
    );
    assertEquals(weights.info("model.embed_tokens.weight").shape, [vocab_size, hidden_size]);
  });
}
