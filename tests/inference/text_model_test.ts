/** Text models as other tools store them: inside models of texts and images, with a head of their own, without names' beginnings. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { Model } from "../../src/inference/model.ts";
import { SafetensorsFile, writeSafetensors } from "../../src/io/safetensors.ts";
import { falqon } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { device } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const IDS = [1, 70, 80, 90, 100, 110, 4];

type Tensors = Map<string, { shape: readonly number[]; bytes: Uint8Array }>;

async function readAll(folder: string): Promise<Tensors> {
  using file = await SafetensorsFile.open(join(folder, "model.safetensors"));
  const tensors: Tensors = new Map();
  for (const [name, { shape }] of file.tensors) {
    tensors.set(name, { shape, bytes: await file.read(name) });
  }
  return tensors;
}

async function writeAll(folder: string, tensors: Tensors): Promise<void> {
  await writeSafetensors(
    join(folder, "model.safetensors"),
    [...tensors].map(([name, { shape, bytes }]) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: () => bytes,
    })),
  );
}

async function editConfig(
  folder: string,
  edit: (config: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  const path = join(folder, "config.json");
  await Deno.writeTextFile(path, JSON.stringify(edit(JSON.parse(await Deno.readTextFile(path)))));
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** Wraps a tiny model as Mistral Small 3.1 is published, with vision beside it. */
async function writeWrapped(folder: string, rename: (name: string) => string): Promise<void> {
  await writeTinyModel(folder, { config: { model_type: "mistral", sliding_window: null } });
  const tensors = await readAll(folder);
  const wrapped: Tensors = new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
  wrapped.set("vision_tower.patch_conv.weight", { shape: [3], bytes: floats(1, 2, 3) });
  wrapped.set("multi_modal_projector.linear_1.weight", { shape: [1, 2], bytes: floats(4, 5) });
  await writeAll(folder, wrapped);
  await editConfig(folder, (text_config) => ({
    model_type: "mistral3",
    architectures: ["Mistral3ForConditionalGeneration"],
    tie_word_embeddings: false,
    vision_config: { hidden_size: 4 },
    text_config,
  }));
}

const SPELLINGS: Record<string, (name: string) => string> = {
  "as published": (name) => `language_model.${name}`,
  "as transformers calls its modules": (name) => name.replace(/^model\./, "model.language_model."),
};

for (const [how, rename] of Object.entries(SPELLINGS)) {
  Deno.test(`the text model of a model of images, named ${how}, is trained as text and saved with the rest`, () =>
    withFolder((plain) =>
      withFolder(async (folder) => {
        await writeTinyModel(plain, { config: { model_type: "mistral", sliding_window: null } });
        await writeWrapped(folder, rename);
        using text = await Model.load(plain, { device });
        using model = await Model.load(folder, { device });
        const logits = await model.logits(IDS);
        assertEquals(logits, await text.logits(IDS));

        const saved = join(folder, "saved");
        await model.use(frozen());
        await model.save(saved);
        assertEquals(await readAll(saved), await readAll(folder));
        using again = await Model.load(saved, { device });
        assertEquals(await again.logits(IDS), logits);

        const quantised = join(folder, "quantised");
        await model.use(falqon({ rank: 4, init: "random-orthogonal" }));
        await model.save(quantised);
        const { quantization_config: { ignore } } = JSON.parse(
          await Deno.readTextFile(join(quantised, "config.json")),
        );
        assertEquals(ignore, [
          "lm_head",
          "re:(.*\\.)?vision_tower\\..*",
          "re:(.*\\.)?multi_modal_projector\\..*",
        ]);
        await text.use(falqon({ rank: 4, init: "random-orthogonal" }));
        await text.save(join(plain, "quantised"));
        const expected = new Map(
          [...await readAll(join(plain, "quantised"))].map(([name, it]) => [rename(name), it]),
        );
        for (const [name, tensor] of await readAll(folder)) {
          if (name.startsWith("vision") || name.startsWith("multi")) expected.set(name, tensor);
        }
        assertEquals(await readAll(quantised), expected);
        using reloaded = await Model.load(quantised, { device });
        assertEquals(reloaded.config.quantization?.format, "fp8");
      })
    ));
}

Deno.test("a head that config.json calls the embedding and that is another is used, said, and saved as its own", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    using untied = await Model.load(folder, { device });
    const logits = await untied.logits(IDS);
    await editConfig(folder, (config) => ({ ...config, tie_word_embeddings: true }));
    const notices: string[] = [];
    using model = await Model.load(folder, { device, onNotice: (notice) => notices.push(notice) });
    assertEquals(notices.length, 1);
    assert(notices[0].includes('has a "lm_head.weight" with other values'), notices[0]);
    assertEquals(model.config.tieWordEmbeddings, false);
    assertEquals(await model.logits(IDS), logits);
    const saved = join(folder, "saved");
    await model.save(saved);
    const config = JSON.parse(await Deno.readTextFile(join(saved, "config.json")));
    assertEquals(config.tie_word_embeddings, false);
    using again = await Model.load(saved, { device });
    assertEquals(await again.logits(IDS), logits);
  }));

Deno.test("a model that was saved without its head is saved under the names of one with it", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder, { config: { tie_word_embeddings: true } });
    const tensors = await readAll(folder);
    using whole = await Model.load(folder, { device });
    const logits = await whole.logits(IDS);
    await writeAll(
      folder,
      new Map([...tensors].map(([name, tensor]) => [name.replace(/^model\./, ""), tensor])),
    );
    using model = await Model.load(folder, { device });
    assertEquals(await model.logits(IDS), logits);
    const saved = join(folder, "saved");
    await model.save(saved);
    assertEquals(await readAll(saved), tensors);
  }));
