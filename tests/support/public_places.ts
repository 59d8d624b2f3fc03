/**
 * Every place of the public functions and methods that takes a value, with what uses it there and the kinds that it takes.
 *
 * @module
 */

import { join } from "node:path";
import * as api from "../../mod.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { device } from "./device.ts";
import {
  CALL,
  COUNT,
  IDS,
  type Kind,
  LISTS,
  NONE,
  NUMBERS,
  OPTIONS,
  type Place,
  places,
  SWITCH,
  VALUES,
} from "./wrong_values.ts";

/** Reads all that comes. */
async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

/** Places of what works with files. */
export function placesOfFiles(folder: string): Place[] {
  const rows = [{ text: "One row." }];
  const { Dataset, EventFile } = api;
  const using = async (opened: Promise<Disposable>) => (await opened)[Symbol.dispose]();
  const events = async (use: (file: api.EventFile) => unknown) => {
    using file = await EventFile.open(folder);
    await use(file);
  };
  const data = join(folder, "rows.jsonl");
  const hub = { offline: true, cacheFolder: join(folder, "cache") };
  const fetchBy = (options: object) => api.fetchModel("org/name", { ...hub, ...options });
  const [merged, file] = [join(folder, "merged"), join(folder, "a.gguf")];
  const over = { overwrite: true };
  const card = { name: "org/name", kind: "model" } as const;
  return [
    ["requestDevice", (it) => using(api.requestDevice(it)), ...OPTIONS],
    ["requestDevice onFallback", (it) => using(api.requestDevice({ onFallback: it })), ...CALL],
    ["requestDevice f16", (it) => using(api.requestDevice({ f16: it })), ...SWITCH],
    ["Dataset.from", (it) => Dataset.from(it), "text", ...LISTS, "function"],
    ["Dataset.from options", (it) => Dataset.from(rows, it), ...OPTIONS],
    ["Dataset.open", (it) => Dataset.open(it)],
    ["Dataset.open in a list", (it) => Dataset.open([it])],
    ["Dataset.open options", (it) => Dataset.open(data, it), ...OPTIONS],
    ["Dataset.open weights", (it) => Dataset.open(data, { weights: it }), "undefined"],
    ["Dataset.open onNotice", (it) => Dataset.open(data, { onNotice: it }), ...CALL],
    ["Dataset.open signal", (it) => Dataset.open(data, { signal: it }), "undefined"],
    ["Dataset.split", (it) => Dataset.from(rows).split(it)],
    ["Dataset.split seed", (it) => Dataset.from(rows).split(0.5, it), ...COUNT],
    ["EventFile.open", (it) => using(EventFile.open(it)), "text"],
    ["EventFile.open options", (it) => using(EventFile.open(folder, it)), ...OPTIONS],
    ["EventFile.open after", (it) => using(EventFile.open(folder, { after: it })), ...COUNT],
    ["EventFile.open now", (it) => using(EventFile.open(folder, { now: it })), ...CALL],
    ["EventFile.scalars", (it) => events((file) => file.scalars(it, {})), "zero"],
    ["EventFile.scalars values", (it) => events((file) => file.scalars(1, it)), "object", "bare"],
    ["EventFile.scalars value", (it) => events((file) => file.scalars(1, { a: it })), ...NUMBERS],
    ["EventFile.text", (it) => events((file) => file.text(it, "a", "b")), "zero"],
    ["EventFile.text tag", (it) => events((file) => file.text(1, it, "b")), "text"],
    ["EventFile.text value", (it) => events((file) => file.text(1, "a", it)), "text", "empty"],
    ["readPeftAdapter", (it) => api.readPeftAdapter(it)],
    ["baseOfAdapter", (it) => api.baseOfAdapter(it)],
    ["fetchModel", (it) => api.fetchModel(it, hub)],
    ["fetchModel options", (it) => api.fetchModel("org/name@none", it)],
    ["fetchModel endpoint", (it) => fetchBy({ endpoint: it })],
    ["fetchModel token", (it) => fetchBy({ token: it })],
    ["fetchModel cacheFolder", (it) => fetchBy({ cacheFolder: it })],
    ["fetchModel onNotice", (it) => fetchBy({ onNotice: it })],
    ["fetchModel onProgress", (it) => fetchBy({ onProgress: it })],
    ["fetchModel signal", (it) => fetchBy({ signal: it })],
    ["fetchModel retryMs", (it) => fetchBy({ retryMs: it })],
    ["fetchData", (it) => api.fetchData(it, hub)],
    ["fetchData options", (it) => api.fetchData("org/name@none", it)],
    ["pushModel", (it) => api.pushModel(it, folder, hub)],
    ["pushModel folder", (it) => api.pushModel("org/name", it, hub)],
    ["modelCard", (it) => api.modelCard(it)],
    ["modelCard name", (it) => api.modelCard({ ...card, name: it }), "text"],
    ["modelCard data", (it) => api.modelCard({ ...card, data: it }), "undefined", "list", "texts"],
    ["mergeModel", (it) => api.mergeModel(it, merged)],
    ...places("mergeModel", (it) => api.mergeModel(folder, merged, { ...over, ...it as object }), {
      chatTemplate: NONE,
      adapter: NONE,
      shardBytes: NONE,
      signal: NONE,
      onProgress: CALL,
    }),
    ["exportGguf", (it) => api.exportGguf(it, file)],
    ["exportGguf path", (it) => api.exportGguf(folder, it)],
    ...places("exportGguf", (it) => api.exportGguf(folder, file, { ...over, ...it as object }), {
      type: NONE,
      adapter: NONE,
      signal: NONE,
      onProgress: CALL,
      onNotice: CALL,
    }),
    ["mergeModel folder", (it) => api.mergeModel(folder, it), "text"],
    ["frozen", (it) => api.frozen(it), "undefined"],
    ["frozenFp8", (it) => api.frozenFp8(it), "undefined"],
    ["frozenFp8 of weights", (it) => api.frozenFp8("row", it), "undefined"],
    ["frozenInt8", (it) => api.frozenInt8(it), ...SWITCH],
    ["falqon", (it) => api.falqon(it), "undefined", "object", "bare"],
    ["lora", (it) => api.lora(it), "undefined", "object", "bare"],
    ["qlora", (it) => api.qlora(it), "undefined", "object", "bare"],
    ["fp8Lora", (it) => api.fp8Lora(it), "undefined", "object", "bare"],
    ["int8Lora", (it) => api.int8Lora(it), "undefined", "object", "bare"],
    ["torchaoStyle", (it) => api.torchaoStyle(it), "undefined", "object", "bare"],
    ["defaultLearningRate", (it) => api.defaultLearningRate(it, api.full())],
    [
      "defaultLearningRate of",
      (it) => api.defaultLearningRate({ hiddenSize: 64 }, it),
      "object",
      "bare",
    ],
  ];
}

/** Places of what works with a model. */
export function placesOfModel(folder: string, model: api.Model, trainer: api.Trainer): Place[] {
  const { tokenizer } = model;
  const { Chat, Dataset, Model, Trainer } = api;
  const data = Dataset.from([{ text: "One row." }]);
  const load = (options: object) => Model.load(folder, { device, ...options });
  const using = async (opened: Promise<Disposable>) => (await opened)[Symbol.dispose]();
  const two = { inputIds: [1, 2], labels: [1, 2] };
  const some = { maxNewTokens: 1 };
  const out = join(folder, "out");
  const given = { model, data, method: api.falqon({ rank: 2 }), steps: 1 };
  const shape = { sequenceLength: 8 };
  const messages = [{ role: "user", content: "a" }];
  return [
    ["Model.load", (it) => Model.load(it, { device })],
    ["Model.load options", (it) => using(Model.load(folder, it)), ...OPTIONS],
    ["Model.load device", (it) => using(load({ device: it })), "undefined"],
    ["Model.load chatTemplate", (it) => using(load({ chatTemplate: it })), "undefined"],
    ["Model.load signal", (it) => using(load({ signal: it })), "undefined"],
    ["Model.load onNotice", (it) => using(load({ onNotice: it })), ...CALL],
    ["Model.use", (it) => model.use(it)],
    ["Model.use options", (it) => model.use(api.frozen(), it), ...OPTIONS],
    ["Model.use signal", (it) => model.use(api.frozen(), { signal: it }), "undefined"],
    ["Model.logits", (it) => model.logits(it), "list", ...IDS],
    ["Model.loss", (it) => model.loss(it)],
    ["Model.loss ids", (it) => model.loss({ ...two, inputIds: it }), ...IDS],
    ["Model.loss labels", (it) => model.loss({ ...two, labels: it }), ...IDS],
    ["Model.lossAndGradients", (it) => model.lossAndGradients(it)],
    [
      "Model.lossAndGradients ids",
      (it) => model.lossAndGradients({ ...two, inputIds: it }),
      "ids",
      "bytes",
    ],
    ["Model.generate", (it) => drain(model.generate(it, some)), "text", "empty", "list", ...IDS],
    ["Model.generate options", (it) => drain(model.generate([1], it)), ...OPTIONS],
    [
      "Model.generate signal",
      (it) => drain(model.generate([1], { ...some, signal: it })),
      "undefined",
    ],
    [
      "Model.generateIds",
      (it) => drain(model.generateIds(it, some)),
      "text",
      "empty",
      "list",
      ...IDS,
    ],
    ["Model.generateIds options", (it) => drain(model.generateIds([1], it)), ...OPTIONS],
    ["Model.save", (it) => model.save(it), "text"],
    ...places("Model.save", (it) => model.save(out, it), {
      overwrite: SWITCH,
      saveAs: NONE,
      rotated: SWITCH,
      seed: COUNT,
      signal: NONE,
    }),
    ["Chat", (it) => new Chat(it)],
    ["Chat options", (it) => new Chat(model, it), ...OPTIONS],
    ["Chat system", (it) => new Chat(model, { system: it }), "undefined", "text", "empty"],
    ["Chat.reset", (it) => new Chat(model).reset(it), "undefined", "text", "empty"],
    ["Chat.send", (it) => drain(new Chat(model).send(it, some)), "text"],
    ["Chat.send options", (it) => drain(new Chat(model).send("a", it)), ...OPTIONS],
    ["Tokenizer.encode", (it) => tokenizer.encode(it), "text", "empty"],
    ["Tokenizer.encode options", (it) => tokenizer.encode("a", it), ...OPTIONS],
    [
      "Tokenizer.encode addSpecialTokens",
      (it) => tokenizer.encode("a", { addSpecialTokens: it }),
      ...SWITCH,
    ],
    ["Tokenizer.encodeBatch", (it) => tokenizer.encodeBatch(it), "list", "texts"],
    ["Tokenizer.encodeBatch options", (it) => tokenizer.encodeBatch(["a"], it), ...OPTIONS],
    ["Tokenizer.encodePrompt", (it) => tokenizer.encodePrompt(it), "text", "empty"],
    ["Tokenizer.around", (it) => tokenizer.around(it), ...LISTS],
    ["Tokenizer.decode", (it) => tokenizer.decode(it), "list", ...IDS, "floats"],
    ["Tokenizer.decode options", (it) => tokenizer.decode([1], it), ...OPTIONS],
    ["Tokenizer.tokenOf", (it) => tokenizer.tokenOf(it), ...Object.keys(VALUES) as Kind[]],
    ["Tokenizer.addedFrom", (it) => tokenizer.addedFrom(it), "zero"],
    ["Tokenizer.stream", (it) => tokenizer.stream(it), "undefined", ...LISTS],
    ["TokenStream.push", (it) => tokenizer.stream().push(it), ...NUMBERS],
    ["Tokenizer.load", (it) => Tokenizer.load(it)],
    ["Tokenizer.load options", (it) => Tokenizer.load(folder, it), ...OPTIONS],
    ["ChatTemplate.render", (it) => tokenizer.chatTemplate!.render(it)],
    [
      "ChatTemplate.render options",
      (it) => tokenizer.chatTemplate!.render(messages, it),
      ...OPTIONS,
    ],
    [
      "ChatTemplate.render variables",
      (it) => tokenizer.chatTemplate!.render(messages, { variables: it }),
      ...OPTIONS,
    ],
    ["showRows", (it) => drain(api.showRows(it, tokenizer, shape))],
    ["showRows tokenizer", (it) => drain(api.showRows(data, it, shape))],
    ["showRows options", (it) => drain(api.showRows(data, tokenizer, it))],
    ["evaluate", (it) => api.evaluate(it, data, shape)],
    ["evaluate data", (it) => api.evaluate(model, it, shape)],
    ["evaluate options", (it) => api.evaluate(model, data, it), ...OPTIONS],
    ...places("evaluate", (it) => api.evaluate(model, data, { ...shape, ...it as object }), {
      packing: SWITCH,
      trainOnPrompt: SWITCH,
      skipBadRows: SWITCH,
      date: ["undefined", "text"],
      onProgress: CALL,
      signal: NONE,
      batchSize: NONE,
    }),
    ["Trainer.create", (it) => Trainer.create(it)],
    ["Trainer.create abortable", (it) => using(Trainer.create(given, it)), ...OPTIONS],
    ["Trainer.create signal", (it) => using(Trainer.create(given, { signal: it })), "undefined"],
    ["Trainer.run", (it) => drain(trainer.run(it)), ...OPTIONS],
    ["Trainer.run signal", (it) => drain(trainer.run({ signal: it })), "undefined"],
    ["Trainer.train", (it) => trainer.train(it), ...OPTIONS],
    ["Trainer.evaluate", (it) => trainer.evaluate(it), "undefined"],
    ["Trainer.evaluate options", (it) => trainer.evaluate(data, it), ...OPTIONS],
    ["Trainer.evaluate signal", (it) => trainer.evaluate(data, { signal: it }), "undefined"],
    ["Trainer.save", (it) => trainer.save(it), "text"],
    ["Trainer.save options", (it) => trainer.save(out, it), ...OPTIONS],
    ["findLearningRate", (it) => api.findLearningRate(it)],
    ["findLearningRate options", (it) => api.findLearningRate(given, it), ...OPTIONS],
    ["useCheckpoint", (it) => api.useCheckpoint(it, api.full(), folder)],
    ["useCheckpoint method", (it) => api.useCheckpoint(model, it, folder)],
    ["useCheckpoint folder", (it) => api.useCheckpoint(model, api.full(), it)],
  ];
}
