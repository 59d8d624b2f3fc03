/**
 * A model folder while it is written: everything appears at once, with all files of the original that
 * others need.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { FileError, OptionError } from "../errors.ts";
import { makeFolder, syncFolder, syncTree, writeAll } from "../io/atomic.ts";
import type { FloatDType } from "../io/dtype.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { readJson } from "../io/json.ts";
import { LARGEST_LIST } from "../io/text_file.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { isWeightsFile } from "../io/weights_writer.ts";
import { type ModelConfig, parseModelConfig } from "../model/config.ts";

/** The file by which a model folder is known. */
export const CONFIG_FILE = "config.json";

/** Names of the dtypes in config.json. */
const TORCH_DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/**
 * Files of a model folder that training does not change, and that some tool or other needs: llama.cpp
 * the SentencePiece model, slow tokenizers vocab and merges, multimodal models their processors.
 */
const COPIED = new RegExp(
  "^(tokenizer[\\w.-]*\\.(json|model)|special_tokens_map\\.json|added_tokens\\.json|tekken\\.json|" +
    "vocab\\.(json|txt)|merges\\.txt|(spiece|sentencepiece[\\w.]*)\\.model|generation_config\\.json|" +
    "chat_template\\.(jinja|json)|additional_chat_templates|([a-z_]*_)?(processor|preprocessor)_config\\.json|" +
    "(LICENSE|LICENCE|NOTICE|USE_POLICY)[\\w.-]*)$",
  "i",
);

/** Copies what training does not change. */
export async function copyFiles(source: string, folder: string): Promise<void> {
  for (const name of await copiedFiles(source)) {
    await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
    await Deno.copyFile(join(source, name), join(folder, name));
  }
}

/**
 * Makes sure that these files can be copied, before hours are spent on what they are to lie beside: a pipe
 * or a device has no end, and a link may lead to nothing.
 *
 * @throws {FileError} naming the first that cannot be.
 */
export async function expectCopiedFiles(source: string): Promise<void> {
  for (const name of await copiedFiles(source)) {
    const path = join(source, name);
    try {
      const { isFile, size } = await Deno.stat(path);
      if (!isFile || size > LARGEST_LIST) {
        const problem = isFile ? `has ${size} bytes, more than any` : "is no plain file";
        throw new FileError(
          `Cannot use "${path}", which belongs to the model that is saved, as it ${problem}: take it away, ` +
            "or fetch it again",
        );
      }
      (await Deno.open(path)).close();
    } catch (error) {
      throw toFileError("read", path, error);
    }
  }
}

/** The names of these files in a folder; those of a folder in it with its name. */
async function copiedFiles(source: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(source)) {
      if (!COPIED.test(name)) continue;
      if (!isDirectory) names.push(name);
      else {
        for await (const entry of Deno.readDir(join(source, name))) {
          if (!entry.isDirectory) names.push(`${name}/${entry.name}`);
        }
      }
    }
  } catch (error) {
    throw toFileError("read", source, error);
  }
  return names;
}

/**
 * Fills a folder that did not look like a model before, or is to be another one.
 *
 * Files are written under temporary names and then renamed. The file by which a folder is known,
 * `marker`, is the last to come, and the first of an overwritten model to go, so that a folder never
 * looks like a model while it holds files of two models.
 *
 * @param write Writes the files into a folder.
 * @throws {OptionError} if the folder holds a model and `overwrite` is false.
 * @throws {FileError} if something cannot be written; nothing half-written is left.
 */
export async function fillFolder(
  folder: string,
  { marker, overwrite, signal }: { marker: string; overwrite: boolean; signal?: AbortSignal },
  write: (staging: string) => Promise<void>,
): Promise<void> {
  if (!overwrite && await exists(join(folder, marker))) {
    throw new OptionError(
      `Cannot save to "${folder}" as it holds a model: choose another folder or allow to overwrite`,
    );
  }
  const staging = join(folder, ".saving");
  try {
    await makeFolder(folder);
    await remove(staging);
    await write(staging);
    await syncTree(staging);
    signal?.throwIfAborted();
    await replace(staging, folder, marker);
  } catch (error) {
    await remove(staging).catch(() => {}); // the first error is the one to report
    signal?.throwIfAborted();
    throw toFileError("write", folder, error);
  }
}

/** Moves the files of a finished staging folder to their final place. */
async function replace(staging: string, folder: string, marker: string): Promise<void> {
  await remove(join(folder, marker));
  await syncFolder(folder); // also after a power cut the marker is the first to go and the last to come
  const names = [...Deno.readDirSync(staging)].map(({ name }) => name);
  const move = async (name: string) => {
    await remove(join(folder, name)); // a folder cannot be renamed over another
    await Deno.rename(join(staging, name), join(folder, name));
  };
  for (const name of names) if (name !== marker) await move(name);
  await syncFolder(folder);
  await move(marker);
  await syncFolder(folder);
  await Deno.remove(staging);
  // Weights of a model that was there, sharded otherwise.
  if (!names.some(isWeightsFile)) return;
  for (const { name } of [...Deno.readDirSync(folder)]) {
    if (isWeightsFile(name) && !names.includes(name)) await Deno.remove(join(folder, name));
  }
}

async function remove(path: string): Promise<void> {
  if (await exists(path)) await Deno.remove(path, { recursive: true });
}

/** What a config.json says of how a model is stored. */
export interface StoredAs extends Pick<ModelConfig, "tieWordEmbeddings"> {
  dtype: FloatDType;
  /** Null where nothing is quantised. */
  quantization: Record<string, unknown> | null;
}

/**
 * Writes the original config.json with the dtype, whether the head is the embedding and, where there is
 * one, the quantisation.
 */
export async function writeConfig(
  source: string,
  folder: string,
  { dtype, tieWordEmbeddings, quantization }: StoredAs,
): Promise<void> {
  const config = await readJson(join(source, CONFIG_FILE)) as Record<string, unknown>;
  delete config.quantization_config;
  config["torch_dtype" in config ? "torch_dtype" : "dtype"] = TORCH_DTYPES[dtype];
  if (parseModelConfig(config, `"${source}"`).tieWordEmbeddings !== tieWordEmbeddings) {
    config.tie_word_embeddings = tieWordEmbeddings;
  }
  if (quantization) config.quantization_config = quantization;
  const bytes = new TextEncoder().encode(JSON.stringify(config, null, 2) + "\n");
  using file = await Deno.open(join(folder, CONFIG_FILE), { write: true, createNew: true });
  await writeAll(file, bytes);
  await file.sync();
}

/** What matches the modules of the parts of a model that are no text model. */
export function unquantizedParts(carried: readonly TensorSource[]): string[] {
  const parts = carried.map(({ name }) => name.replace(/^model\./, "").split(".")[0]);
  return [...new Set(parts)].map((part) => `re:(.*\\.)?${part}\\..*`);
}

/** The same tensors, whose data ends with a signal's reason. */
export function abortable(tensors: readonly TensorSource[], signal?: AbortSignal): TensorSource[] {
  return tensors.map((tensor) => ({
    ...tensor,
    data: () => {
      signal?.throwIfAborted();
      return tensor.data();
    },
  }));
}
