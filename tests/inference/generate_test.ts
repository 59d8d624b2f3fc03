import { assert, assertEquals, assertRejects } from "@std/assert";
import { DataError, type FalqonError, ModelError, OptionError } from "../../src/errors.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Program } from "../../src/gpu/program.ts";
import { lora } from "../../src/methods/lora/lora.ts";
import type { GenerateOptions } from "../../src/inference/generate.ts";
import { Model } from "../../src/inference/model.ts";
import { exists } from "../../src/io/exists.ts";
import type { Network } from "../../src/model/network.ts";
import { sequenceArrays, writeTokens } from "../../src/model/token_buffers.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { golden, TOLERANCE } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";
import { randomGenerator } from "../support/random.ts";
import { writeDeltaNetModel } from "../support/delta_net_model.ts";
import { type TinyModelOptions, writeTinyModel } from "../support/tiny_model.ts";

const PROMPT = [1, 40, 7, 263, 100, 12];

/** Opens a tiny model, runs `use`, and frees all. */
function withModel(
  options: TinyModelOptions,
  use: (model: Model, device: Device, folder: string) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    await writeTinyModel(folder, options);
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device });
    await use(model, device, folder);
  });
}

const greedy = (maxNewTokens: number) => ({ temperature: 0, maxNewTokens });

function collect(model: Model, prompt: string | number[], options: GenerateOptions) {
  return Array.fromAsync(model.generateIds(prompt, options));
}

/** The likeliest tokens, each from a forward pass over all before it. */
async function recompute(model: Model, prompt: number[], count: number): Promise<number[]> {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = (await model.logits(ids)).subarray(-model.config.vocabSize);
    ids.push(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
  }
  return ids.slice(prompt.length);
}

Deno.test("the cache changes no greedy token, for prompts of any length", () =>
  withModel({}, async (model) => {
    for (const length of [1, 2, 3, PROMPT.length]) {
      const prompt = PROMPT.slice(0, length);
      const want = await recompute(model, prompt, 22);
      assert(new Set(want).size > 3, `the model only says ${want}`);
      assertEquals(await collect(model, prompt, greedy(22)), want, `a prompt of ${length}`);
    }
  }));

Deno.test("states of delta nets change no greedy token, for prompts of any length, and texts do not share them", () =>
  withFolder(async (folder) => {
    await writeDeltaNetModel(folder);
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device });
    for (const length of [1, 2, 3, 4, PROMPT.length]) {
      const prompt = PROMPT.slice(0, length);
      const want = await recompute(model, prompt, 12);
      assert(new Set(want).size > 3, `the model only says ${want}`);
      const both = await Promise.all([0, 1].map(() => collect(model, prompt, greedy(12))));
      assertEquals(both, [want, want], `a prompt of ${length}`);
    }
  }));

Deno.test("the pieces of a text are whole characters, and joined the text of all tokens", () =>
  withModel({}, async (model) => {
    const { tokenizer } = model;
    const prompt = tokenizer.encode("a é");
    const options = { temperature: 3, topP: 1, seed: 9, maxNewTokens: 50 };
    const pieces = await Array.fromAsync(model.generate("a é", options));
    const ids = await collect(model, "a é", options);
    assertEquals(ids.length, 50);
    const whole = tokenizer.decode([...prompt, ...ids]);
    assertEquals(tokenizer.decode(prompt) + pieces.join(""), whole);
    assert(pieces.every((piece) => piece !== ""));
    const other = { ...options, seed: 10 };
    assert(pieces.join("") !== (await Array.fromAsync(model.generate("a é", other))).join(""));
  }));

Deno.test("a character spread over tokens comes as one piece", () =>
  withModel(
    {
      // The residual stream is the embedding alone: each token calls for the next of "é😀a".
      edit(name, values) {
        const chain = [1, ...Array.from(new TextEncoder().encode("é😀a"), (byte) => 3 + byte)];
        if (name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight")) values.fill(0);
        if (name === "model.embed_tokens.weight" || name === "lm_head.weight") {
          values.fill(0);
          const shift = name === "lm_head.weight" ? 1 : 0;
          chain.forEach((id, i) => values[id * 52 + i - shift] = 1);
        }
      },
    },
    async (model) => {
      const pieces = await Array.fromAsync(model.generate([1], greedy(7)));
      assertEquals(pieces, ["é", "😀", "a"]);
    },
  ));

Deno.test("an end-of-text token ends the text and is not part of it", () =>
  withModel({}, async (model, device, folder) => {
    const all = await collect(model, PROMPT, greedy(20));
    const end = all[7];
    await writeTinyModel(folder, { config: { eos_token_id: [268, end] } });
    using ending = await Model.load(folder, { device });
    assertEquals(await collect(ending, PROMPT, greedy(20)), all.slice(0, all.indexOf(end)));
  }));

Deno.test("the tokens that training ends texts and answers with end a text, and are saved", () =>
  withModel({}, async (model, device, folder) => {
    const all = await collect(model, PROMPT, greedy(20));
    const [eos, end] = [all[7], all[4]];
    const json = JSON.parse(await Deno.readTextFile(`${folder}/tokenizer.json`));
    const spelling = (id: number) =>
      Object.entries<number>(json.model.vocab).find(([, of]) => of === id)![0];
    json.added_tokens.push({ id: end, content: spelling(end), special: true });
    await Deno.writeTextFile(`${folder}/tokenizer.json`, JSON.stringify(json));
    const template = `{% for m in messages %}{{ m.content }}${spelling(end)}{% endfor %}`;
    for (
      const [config, wanted] of [[{ eos_token: spelling(eos) }, eos], [
        { chat_template: template },
        end,
      ]] as const
    ) {
      await Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(config));
      using ending = await Model.load(folder, { device });
      assertEquals(ending.config.eosTokenIds, []);
      assertEquals(await collect(ending, PROMPT, greedy(20)), all.slice(0, all.indexOf(wanted)));
      await ending.save(`${folder}/out`, { saveAs: "bf16", overwrite: true });
      const saved = JSON.parse(await Deno.readTextFile(`${folder}/out/generation_config.json`));
      assertEquals(saved, { eos_token_id: [wanted] });
      assertEquals(await exists(`${folder}/out/chat_template.jinja`), false);
    }
  }));

Deno.test("a chat template that is chosen is saved with the model and its adapter", () =>
  withModel({}, async (_model, device, folder) => {
    await Deno.writeTextFile(
      `${folder}/tokenizer_config.json`,
      '{"eos_token": "</s>", "chat_template": "old"}',
    );
    using model = await Model.load(folder, { device, chatTemplate: "zephyr" });
    await model.save(`${folder}/out`, { saveAs: "bf16" });
    using saved = await Model.load(`${folder}/out`, { device });
    const messages = [{ role: "user", content: "Hi" }];
    assertEquals(saved.tokenizer.chatTemplate!.render(messages), "<|user|>\nHi</s>\n");
    await model.use(lora({ rank: 2 }));
    await model.save(`${folder}/adapter`);
    assertEquals(
      await Deno.readTextFile(`${folder}/adapter/chat_template.jinja`),
      model.tokenizer.chatTemplate!.source,
    );
  }));

Deno.test("the end of the context ends the text; a prompt beyond it is refused", () =>
  withModel({}, async (model) => {
    const full = Array.from({ length: 64 }, (_, i) => i + 5);
    assertEquals((await collect(model, full.slice(0, 60), greedy(100))).length, 4);
    assertEquals(
      await collect(model, full.slice(0, 63), greedy(100)),
      await recompute(model, full.slice(0, 63), 1),
    );
    await assertRejects(
      () => collect(model, full, greedy(1)),
      OptionError,
      "Cannot continue a prompt of 64 tokens as the model's context has 64 " +
        "(max_position_embeddings): shorten it to at most 63",
    );
  }));

Deno.test("an empty prompt begins a text, where the model has a token for that", async () => {
  await withModel({}, async (model) => {
    const want = await collect(model, [1], greedy(5));
    assertEquals(await collect(model, "", greedy(5)), want);
    assertEquals(await collect(model, [], greedy(5)), want);
  });
  await withModel({ config: { bos_token_id: null } }, async (model) => {
    await assertRejects(() => collect(model, [], greedy(5)), OptionError, "an empty prompt");
  });
});

Deno.test("bad prompts and options are refused before any work", () =>
  withModel({}, async (model, device) => {
    const bad: [number[], GenerateOptions, new () => FalqonError, string][] = [
      [[5, 269], {}, DataError, "Cannot use token id 269 at position 1 of the prompt"],
      [[-1], {}, DataError, "Cannot use token id -1 at position 0"],
      [[1.5], {}, DataError, "Cannot use token id 1.5 at position 0"],
      [PROMPT, { maxNewTokens: 0 }, OptionError, "Cannot use maxNewTokens 0"],
      [PROMPT, { temperature: -2 }, OptionError, "temperature -2"],
    ];
    for (const [prompt, options, type, message] of bad) {
      await assertRejects(() => collect(model, prompt, options), type, message);
    }
    assertEquals(device.allocatedBytes, 0);
  }));

Deno.test("a model that computes NaN says so", () =>
  withModel({
    edit: (name, values) => name === "lm_head.weight" && values.fill(3e38),
  }, async (model) => {
    await assertRejects(
      () => collect(model, PROMPT, {}),
      ModelError,
      "Cannot choose a token as the model's logit of token 0 is ",
    );
  }));

Deno.test("the end, an early end, an abort and a failure free the memory", () =>
  withModel({}, async (model, device) => {
    await collect(model, PROMPT, greedy(2)); // the weights and the room for steps stay
    const before = device.allocatedBytes;
    for await (const _ of model.generate(PROMPT, greedy(30))) {
      assert(device.allocatedBytes > before);
      break;
    }
    assertEquals(device.allocatedBytes, before);

    const controller = new AbortController();
    const ids: number[] = [];
    const aborted = async () => {
      const { signal } = controller;
      for await (const id of model.generateIds(PROMPT, { ...greedy(30), signal })) {
        if (ids.push(id) === 3) controller.abort();
      }
    };
    await assertRejects(aborted, DOMException, "aborted");
    assertEquals(ids.length, 3);
    assertEquals(device.allocatedBytes, before);

    const { signal } = controller;
    await assertRejects(() => collect(model, PROMPT, { signal }), DOMException, "aborted");
    assertEquals(device.allocatedBytes, before);
  }));

Deno.test("a model that a trainer is made for meanwhile ends the generation", () =>
  withModel({}, async (model) => {
    const ids = model.generateIds(PROMPT, greedy(10));
    await ids.next();
    await model.adapt(lora(), { random: randomGenerator(1) });
    await assertRejects(() => ids.next(), ModelError, "under another method meanwhile");
    assertEquals((await ids.next()).done, true);
  }));

Deno.test("generation leaves a recorded training step as it is, however long the prompt", () =>
  withModel({}, async (model, device) => {
    const prompt = Array.from({ length: 21 }, (_, i) => 3 + (i * 37) % 250);
    const want = await collect(model, prompt, greedy(20));

    const random = randomGenerator(2);
    const network = await model.adapt(lora({ rank: 3 }), { random, gradients: true });
    using state = new StepState(device, { beta1: 0, beta2: 0 });
    using program = new Program(device);
    network.reserve({ tokens: 10, training: true, checkpointing: false });
    network.recordTraining(program, 10, state);
    await program.prepare();
    const first = await train(network, program, state, 1);
    // B begins as zero, so the adapted model says the same; its room of 10 tokens takes the prompt in three parts.
    assertEquals(await collect(model, prompt, greedy(20)), want);
    assertEquals(await train(network, program, state, 2), first);
  }));

Deno.test("a text goes on while the network grows for something else", () =>
  withModel({}, async (model) => {
    await model.adapt(lora({ rank: 3 }), { random: randomGenerator(3) });
    const want = await collect(model, PROMPT, greedy(12));
    const ids: number[] = [];
    for await (const id of model.generateIds(PROMPT, greedy(12))) {
      if (ids.push(id) === 5) await model.tokenLosses(sequenceArrays(new Array(300).fill(8)));
      if (ids.length === 7) await collect(model, [9, 9, 9], greedy(2));
    }
    assertEquals(ids, want);
  }));

Deno.test("the demo's model says word by word what it says under transformers", async () => {
  using model = await Model.load("examples/tiny/model", { device });
  const { prompt, continuation, promptTokens, ids, loss } = JSON.parse(
    await Deno.readTextFile(`${golden}tiny.json`),
  );
  assertEquals(model.tokenizer.encode(prompt), ids.slice(0, promptTokens));
  const pieces = await Array.fromAsync(model.generate(prompt, greedy(ids.length - promptTokens)));
  assertEquals(pieces.join(""), continuation);
  const difference = Math.abs(await model.loss({ inputIds: ids, labels: ids }) - loss);
  assert(difference <= TOLERANCE.loss, `the loss is off by ${difference}`);
  console.log(`  ${prompt}${continuation} (loss within ${difference})`);
});

sharedTest("stories260K: the cache changes nothing, and the model tells a story", async () => {
  using model = await Model.load(`${shared}models/stories260K`, { device });
  const prompt = model.tokenizer.encode("Once upon a time, there was a dog.");
  const want = await recompute(model, prompt, 24);
  assertEquals(await collect(model, prompt, greedy(24)), want);
  const pieces = await Array.fromAsync(
    model.generate("Lily and Tom went to the park", { seed: 3, maxNewTokens: 120 }),
  );
  const story = pieces.join("");
  console.log(`  Lily and Tom went to the park${story}`);
  assert(pieces.length > 60 && /\b(the|and|was)\b/.test(story), story);
});

/** Runs a training step on ten tokens; returns their losses and every gradient. */
async function train(
  network: Network,
  program: Program,
  state: StepState,
  step: number,
): Promise<number[]> {
  const { device, parameters } = network;
  const ids = [3, 9, 27, 81, 243, 12, 36, 108, 5, 15];
  writeTokens(device, network.tokens, sequenceArrays(ids, ids));
  const [gradients] = parameters.gradients;
  device.write(gradients, new Float32Array(gradients.length));
  state.begin({ step, learningRate: 0, targetCount: 9 });
  program.run();
  const [losses, all] = await device.readAll([network.rowLoss, gradients]);
  const values = [...new Float32Array(losses), ...new Float32Array(all)];
  assert(values.some((value) => value !== 0) && values.every(Number.isFinite));
  return values;
}
