/**
 * Programs without types can give anything. Every public function and method is given values of every kind: those that it
 * does not take, it refuses by an error of this package, in a sentence without words of the runtime.
 */

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import * as api from "../mod.ts";
import { Tokenizer } from "../src/io/tokenizer.ts";
import { device } from "./support/device.ts";
import { inEnvironment } from "./support/hub_environment.ts";
import { withFolder } from "./support/io.ts";
import { writeTinyModel } from "./support/tiny_model.ts";
import { expectRefusals } from "./support/wrong_values.ts";
import { placesOfFiles, placesOfModel } from "./support/public_places.ts";

/** Runs `test` in a folder with a model, where names such as those of the values are no files. */
async function withModel(test: (folder: string) => Promise<void>): Promise<void> {
  const before = Deno.cwd();
  await withFolder(async (folder) => {
    const model = join(folder, "model");
    await Deno.mkdir(model);
    await writeTinyModel(model);
    await Deno.writeTextFile(join(model, "rows.jsonl"), '{"text": "a b"}\n');
    const template = "{{ messages[0].content }}";
    const settings = { eos_token: "</s>", chat_template: template };
    await Deno.writeTextFile(join(model, "tokenizer_config.json"), JSON.stringify(settings));
    Deno.chdir(folder);
    try {
      await test(model);
    } finally {
      Deno.chdir(before);
    }
  });
}

Deno.test("what works with files refuses values of another kind by named errors", () =>
  withModel((folder) =>
    inEnvironment(
      { endpoint: "http://127.0.0.1:1" },
      folder,
      () => expectRefusals(placesOfFiles(folder)),
      { HF_HUB_OFFLINE: "1" },
    )
  ));

Deno.test("what works with a model refuses values of another kind by named errors", () =>
  withModel(async (folder) => {
    const model = await api.Model.load(folder, { device });
    const data = api.Dataset.from([{ text: "One row." }]);
    const method = api.falqon({ rank: 2 });
    const given = { model, data, evalData: data, method, steps: 1, sequenceLength: 8 };
    const trainer = await api.Trainer.create(given);
    trainer[Symbol.dispose]();
    model[Symbol.dispose]();
    await expectRefusals(placesOfModel(folder, model, trainer));
  }));

/** What has no place for a value, or is no part of what is published, by class. */
const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  Model: ["network", "holds", "adapt", "release", "tokenLosses", "changed", "source"],
  Dataset: ["expect", "fromDescriptor", "rawRows", "parse", "locate"],
  Trainer: ["stop", "checkpoint", "restoreBest"],
  Tokenizer: [],
  EventFile: [],
  Chat: [],
};

Deno.test("every public function and method has its place among these", () => {
  const noModel = { tokenizer: {} } as api.Model;
  const places = [...placesOfFiles("."), ...placesOfModel(".", noModel, {} as api.Trainer)];
  const tried = new Set(places.map(([name]) => name.split(" ")[0]));
  const classes = { ...api, Tokenizer } as Record<string, unknown>;
  const names = Object.entries(classes).flatMap(([name, value]) => {
    if (typeof value !== "function" || value.prototype instanceof Error) return [];
    if (!Object.hasOwn(WITHOUT, name)) return [name];
    const methods = [value, value.prototype].flatMap((owner) =>
      Object.entries(Object.getOwnPropertyDescriptors(owner))
        .filter(([key, { value }]) => typeof value === "function" && key !== "constructor")
        .map(([key]) => key)
    );
    return methods.filter((key) => !WITHOUT[name].includes(key)).map((key) => `${name}.${key}`);
  });
  // What it gives is tried where it is written; full() takes nothing.
  const others = ["full", "restartOnDeviceLost"];
  assertEquals(names.filter((name) => !tried.has(name) && !others.includes(name)), []);
});
