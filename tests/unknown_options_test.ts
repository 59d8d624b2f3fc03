/**
 * A name that nobody knows is refused, not ignored: every public function, method and constructor is given one beside
 * options that it takes. What the documentation lists and the table lacks fails the test.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import * as api from "../mod.ts";
import { Tokenizer } from "../src/io/tokenizer.ts";
import { device } from "./support/device.ts";
import { withFolder } from "./support/io.ts";
import { optionParameters } from "./support/option_parameters.ts";
import { writeTinyModel } from "./support/tiny_model.ts";

/** What is called with a name too many, by the function and its parameter. */
type Calls = Record<string, () => unknown>;

/** The name that nobody knows. Its value is undefined, as one with a value would be no less wrong. */
const TYPO: object = { opiton: undefined };

/** Reads the first that comes. */
async function begin(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items) break;
}

/** A call for every parameter with options; what is computed or written is so before none of them. */
function callsOf(folder: string, model: api.Model, trainer: api.Trainer): Calls {
  const { Chat, Dataset, EventFile, Model, Trainer } = api;
  const { tokenizer } = model;
  const rows = [{ text: "One row." }];
  const data = Dataset.from(rows);
  const out = join(folder, "out");
  const hub = { offline: true, cacheFolder: out, ...TYPO };
  const adapters = { rank: 2, ...TYPO };
  const sampling = { maxNewTokens: 1, temperature: 0, topP: 1, seed: 1, ...TYPO };
  const saving = { overwrite: true, seed: 1, ...TYPO };
  const ended = { signal: new AbortController().signal, ...TYPO };
  const run = { model, data, method: api.falqon({ rank: 2 }), steps: 1, sequenceLength: 8 };
  const sequence = { inputIds: [1, 2], labels: [1, 2], ...TYPO };
  const special = { addSpecialTokens: true, ...TYPO };
  const messages = [{ role: "user", content: "a" }];
  const card = { name: "org/name", kind: "model", ...TYPO } as const;
  return {
    "requestDevice options": () => api.requestDevice({ f16: true, ...TYPO }),
    "Dataset.from options": () => Dataset.from(rows, { format: "json", ...TYPO }),
    "Dataset.open given": () => Dataset.open(join(folder, "*.jsonl"), { weights: [1], ...TYPO }),
    "showRows options": () => begin(api.showRows(data, tokenizer, { sequenceLength: 8, ...TYPO })),
    "Model.load options": () => Model.load(folder, { device, ...TYPO }),
    "Model.use options": () => model.use(api.frozen(), { seed: 1, ...TYPO }),
    "Model.loss sequence": () => model.loss(sequence),
    "Model.lossAndGradients sequence": () => model.lossAndGradients(sequence),
    "Model.generate options": () => begin(model.generate("a", sampling)),
    "Model.generateIds options": () => begin(model.generateIds("a", sampling)),
    "Model.save options": () => model.save(out, saving),
    "Chat options": () => new Chat(model, { system: "a", ...TYPO }),
    "Chat.send options": () => begin(new Chat(model).send("a", sampling)),
    "ChatTemplate.render options": () => tokenizer.chatTemplate!.render(messages, TYPO),
    "Tokenizer.load options": () => Tokenizer.load(folder, { native: false, ...TYPO }),
    "Tokenizer.encode options": () => tokenizer.encode("a", special),
    "Tokenizer.encodeBatch options": () => tokenizer.encodeBatch(["a"], special),
    "Tokenizer.decode options": () => tokenizer.decode([1], { skipSpecialTokens: true, ...TYPO }),
    "falqon options": () => api.falqon(adapters),
    "lora options": () => api.lora(adapters),
    "fp8Lora options": () => api.fp8Lora(adapters),
    "int8Lora options": () => api.int8Lora(adapters),
    "qlora options": () => api.qlora(adapters),
    "torchaoStyle options": () => api.torchaoStyle(adapters),
    "EventFile.open options": () => EventFile.open(out, { after: 1, ...TYPO }),
    "fetchData options": () => api.fetchData("org/name", hub),
    "fetchModel options": () => api.fetchModel("org/name", { weights: false, ...hub }),
    "pushModel options": () => api.pushModel("org/name", folder, hub),
    "modelCard facts": () => api.modelCard(card),
    "exportGguf options": () => api.exportGguf(folder, join(folder, "a.gguf"), TYPO),
    "mergeModel options": () => api.mergeModel(folder, out, saving),
    "evaluate options": () => api.evaluate(model, data, { batchSize: 1, ...TYPO }),
    "Trainer.create options": () => Trainer.create({ ...run, ...TYPO }),
    "Trainer.create options optimizer": () => Trainer.create({ ...run, optimizer: TYPO }),
    "Trainer.create options rows": () => Trainer.create({ ...run, rows: TYPO }),
    "Trainer.create abortable": () => Trainer.create(run, ended),
    "Trainer.run abortable": () => begin(trainer.run(ended)),
    "Trainer.train abortable": () => trainer.train(ended),
    "Trainer.evaluate abortable": () => trainer.evaluate(data, ended),
    "Trainer.save options": () => trainer.save(out, saving),
    "findLearningRate options": () => api.findLearningRate({ ...run, ...TYPO }),
    "findLearningRate search": () => api.findLearningRate(run, { steps: 1, ...TYPO }),
    "restartOnDeviceLost options": () =>
      api.restartOnDeviceLost(() => Promise.resolve(1), { pause: 0, ...TYPO }),
  };
}

/** Runs `test` with the calls, a closed model and a closed trainer in them: so nothing is computed. */
async function withCalls(test: (calls: Calls) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await writeTinyModel(folder);
    await Deno.writeTextFile(join(folder, "rows.jsonl"), '{"text": "a b"}\n');
    const settings = { eos_token: "</s>", chat_template: "{{ messages[0].content }}" };
    await Deno.writeTextFile(join(folder, "tokenizer_config.json"), JSON.stringify(settings));
    const model = await api.Model.load(folder, { device });
    const data = api.Dataset.from([{ text: "One row." }]);
    const method = api.falqon({ rank: 2 });
    const trainer = await api.Trainer.create({ model, data, method, steps: 1, sequenceLength: 8 });
    trainer[Symbol.dispose]();
    model[Symbol.dispose]();
    await test(callsOf(folder, model, trainer));
  });
}

Deno.test("everything public refuses an option that it does not know, by its name", () =>
  withCalls(async (calls) => {
    const others: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      try {
        await call();
        others.push(`${name} ignores it`);
      } catch (error) {
        const { message } = error as Error;
        const isRefusal = error instanceof api.OptionError &&
          /^There is no option "opiton" of [\w. ]+: it has \w+(, \w+)*$/.test(message);
        if (!isRefusal) others.push(`${name}: ${error}`);
      }
    }
    assertEquals(others, []);
  }));

Deno.test("every parameter with options has its call among these", async () => {
  const noModel = { tokenizer: {} } as api.Model;
  const called = Object.keys(callsOf(".", noModel, {} as api.Trainer));
  const documented = await optionParameters("mod.ts", "fp8.ts", "cli.ts");
  const groups = ["Trainer.create options optimizer", "Trainer.create options rows"];
  assertEquals(called.toSorted(), [...documented, ...groups].toSorted());
});

Deno.test("the message names all options there are, and what an earlier one is called now", async () => {
  const data = api.Dataset.from([{ text: "One row." }]);
  const refused: [use: () => unknown, message: string][] = [
    [
      () => api.Dataset.from("a", { seperator: "" } as object),
      'There is no option "seperator" of Dataset.from: it has separator, columns, format',
    ],
    [
      () => api.modelCard({ name: "a/b", kind: "model", licence: "mit" } as api.ModelCardFacts),
      'There is no option "licence" of modelCard: it has name, kind, base, baseRevision, data, heldOut, method, ' +
      "settings, steps, lossBefore, lossAfter, trainingLoss, command, license",
    ],
    [
      () => api.qlora({ base: "fp8" } as object),
      'There is no option "base" of qlora: it has rank, alpha, targetModules, trainA, adapter, dropout, rslora, dora',
    ],
    [
      () => api.lora({ baseType: "fp8" } as object),
      'There is no option "baseType" of lora: it is called base now',
    ],
  ];
  for (const [use, message] of refused) assertThrows(use, api.OptionError, message);
  await assertRejects(
    () => begin(api.showRows(data, null, { sequenceLength: 8, batchSize: 4 } as never)),
    api.OptionError,
    'There is no option "batchSize" of showRows',
  );
  await assertRejects(
    () => api.fetchData("org/name", { weights: false } as object),
    api.OptionError,
    'There is no option "weights" of fetchData',
  );
});

Deno.test("options may be of a class, or come from a prototype", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    class Settings {
      native = false;
      describe(): string {
        return `${this.native}`;
      }
    }
    assertEquals((await Tokenizer.load(folder, new Settings())).isNative, false);
    assertEquals((await Tokenizer.load(folder, Object.create({ native: false }))).isNative, false);
  }));
