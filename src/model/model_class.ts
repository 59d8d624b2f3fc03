/**
 * The class that a config.json names, which tells another family under LLaMA's `model_type`.
 *
 * Some families differ from LLaMA only in what their class does: rotary planes that interleave
 * (Helium), defaults of fields that the file leaves out (SmolLM3, Granite, Gemma). With an edited
 * `model_type` nothing else in the folder tells. It is asked last: a field or a tensor that nobody
 * reads is the better answer.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { showJson } from "../io/json.ts";
import type { ModelConfig } from "./config.ts";
import { classNameOf } from "./families/registry.ts";

/**
 * Beginnings of the classes of transformers' families with a graph of their own. Classes that are
 * not listed pass: people name their own after what they please.
 */
const PUBLISHED = new RegExp(
  "^(" + [
    "Llama|Mistral|Mixtral|Ministral|Pixtral|Voxtral|Qwen|Gemma|RecurrentGemma|Granite|SmolLM",
    "Olmo|Phi|Cohere|Glm|ChatGLM|StableLm|Falcon|Helium|Exaone|HunYuan|SeedOss|Lfm|Bamba|Jamba",
    "Mamba|Zamba|Nemotron|Arcee|Apertus|Ernie|GptOss|GPT|Bloom|OPT|Mpt|MiniCPM|MiniMax|Deepseek",
    "Baichuan|InternLM|Starcoder|Persimmon|BitNet|DiffLlama|DeciLM|Dbrx|Doge|Dots|JetMoe|Kimi",
    "Longcat|VaultGemma|T5|Bert|Roberta",
  ].join("|") + ")(?![a-z])",
);

/**
 * Refuses a class of another family than that of the `model_type`.
 *
 * @throws {ModelError} naming the class.
 */
export function expectClass(folder: string, { modelType, architectures }: ModelConfig): void {
  const className = classNameOf(modelType);
  const other = architectures.find((name) =>
    PUBLISHED.test(name) && name.replace(/(For|Model|LMHead).*$/, "") !== className
  );
  if (other === undefined) return;
  throw new ModelError(
    `Cannot use "${folder}" as its config.json has the architectures ${showJson(architectures)} ` +
      `and the model_type ${
        showJson(modelType)
      }, which is of ${className}ForCausalLM: one of the ` +
      "two was edited, so restore the config.json that the model was published with",
  );
}
