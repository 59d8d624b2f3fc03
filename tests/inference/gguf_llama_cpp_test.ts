/**
 * GGUF files in llama.cpp itself, where it is: LLAMA_CPP_PEER names a folder in which node-llama-cpp is
 * installed, as the head of scripts/llama_cpp.ts says. Without it these tests say so and are not run;
 * gguf_test.ts and gguf_families_test.ts read the files themselves.
 */

import { assert, assertEquals } from "@std/assert";
import { exportGguf, Model } from "../../mod.ts";
import { device } from "../support/device.ts";
import { GGUF_FAMILIES, TEXTS } from "../support/gguf_families.ts";
import { withFolder } from "../support/io.ts";
import { LlamaCpp } from "../support/llama_cpp.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const IDS = Array.from({ length: 24 }, (_, i) => i === 0 ? 1 : (i * 37 + i * i) % 200 + 5);
const peer = Deno.env.get("LLAMA_CPP_PEER");
const ignore = peer === undefined;
const why = ignore ? " (not run: LLAMA_CPP_PEER is not set)" : "";

Deno.test({
  name: `llama.cpp has the logits, greedy tokens and token ids of exported files${why}`,
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      await using llama = await LlamaCpp.start(peer!);
      for (const name of ["llama 3", "qwen3", "gemma3", "phi3 with LongRoPE", "olmo3"]) {
        const { config, tolerance } = GGUF_FAMILIES[name];
        await writeTinyModel(folder, { config });
        const path = `${folder}/model.gguf`;
        await exportGguf(folder, path, { type: "f32", overwrite: true, onNotice: () => {} });
        const theirs = await llama.run({ path, ids: IDS, count: 8, texts: TEXTS });
        using model = await Model.load(folder, { device, onNotice: () => {} });
        const ours = await model.logits(IDS);
        const deviation = Math.sqrt(ours.reduce((sum, x) => sum + x * x, 0) / ours.length);
        assertEquals(theirs.logits.length, ours.length);
        const most = theirs.logits.reduce((most, x, i) => Math.max(most, Math.abs(x - ours[i])), 0);
        assert(most <= tolerance * deviation, `${name}: a logit is off by ${most}`);
        const options = { maxNewTokens: 8, temperature: 0 };
        const tokens = await Array.fromAsync(model.generateIds(IDS, options));
        assertEquals(theirs.tokens.slice(0, tokens.length), tokens, name);
        const encoded = await model.tokenizer.encodeBatch(TEXTS);
        assertEquals(theirs.texts, encoded.map((ids) => [...ids]), name);
      }
    }),
});
