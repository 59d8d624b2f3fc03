/**
 * LoRA adapters in the layout of the PEFT library: `adapter_config.json` and
 * `adapter_model.safetensors`, with `base_model.model.<module>.lora_A.weight` of `[rank, K]` and
 * `.lora_B.weight` of `[N, rank]` for every adapted linear of `[N, K]`.
 *
 * Which modules it adapts, its tensors say; the settings only have the rules by which these were chosen.
 *
 * @module
 */

import { checkText } from "../checks.ts";
import { join } from "node:path";
import { FileError, ModelError } from "../errors.ts";
import { writeFileAtomically } from "./atomic.ts";
import { fromFloat32, isFloatDType, toFloat32 } from "./dtype.ts";
import { exists } from "./exists.ts";
import { toFileError } from "./file_error.ts";
import { expectFinite, findNotFinite } from "./finite.ts";
import { isJsonObject, JsonFields, readJson, showJson } from "./json.ts";
import { type LoraTensors, type PeftAdapter, type PeftTensor, rankOf } from "./peft_adapter.ts";
import { expectReadable, KEPT_SETTINGS, patternOf, readSettings } from "./peft_settings.ts";
import { aboutPickles } from "./pickles.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "./safetensors.ts";

export type { LoraTensors, PeftAdapter, PeftConfig, PeftTensor } from "./peft_adapter.ts";

/** The file by which an adapter folder is known. */
export const ADAPTER_CONFIG_FILE = "adapter_config.json";
/** The weights of an adapter folder. */
export const ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors";
const PREFIX = "base_model.model.";

/** Where the modules of a text model are inside a model of texts and images. */
const TEXT_MODEL = "model.language_model.";
/** The same before transformers 4.52. */
const OLDER_TEXT_MODEL = /^language_model\.model\./;

/**
 * Reads an adapter that PEFT, or {@linkcode writePeftAdapter}, has written: LoRA, rsLoRA or DoRA on any
 * linear layers, with ranks and scales of their own, and what else was saved with it.
 *
 * @throws {FileError} if a file is missing or damaged.
 * @throws {ModelError} if the adapter is of another kind, or incomplete.
 */
export async function readPeftAdapter(folder: string): Promise<PeftAdapter> {
  checkText("folder", folder);
  const configPath = join(folder, ADAPTER_CONFIG_FILE);
  const fields = new JsonFields(await readJson(configPath), `"${configPath}"`);
  expectReadable(fields);
  const settings = readSettings(fields);
  const weightsPath = join(folder, ADAPTER_WEIGHTS_FILE);
  if (!await exists(weightsPath)) {
    throw new FileError(
      `Cannot find "${weightsPath}": adapters are read only from safetensors${await aboutPickles(
        folder,
      )}; save the adapter with a current version of PEFT`,
    );
  }
  for (const name of ["rank_pattern", "alpha_pattern"]) {
    const patterns = fields.raw(name);
    if (patterns === undefined || isJsonObject(patterns)) continue;
    throw fields.error(name, "an object of numbers by module");
  }
  using file = await SafetensorsFile.open(weightsPath);
  const { tensors, others } = await readTensors(
    file,
    (module) => patternOf(fields, "rank_pattern", module) ?? settings.rank,
  );
  for (const [module, pair] of tensors) {
    const alpha = patternOf(fields, "alpha_pattern", module) ?? settings.alpha;
    if (alpha !== settings.alpha) pair.alpha = alpha;
    if (settings.useDora && !pair.magnitude) {
      throw unusable(file, `it has no magnitudes of "${module}", though its use_dora is true`);
    }
    if (!settings.useDora && pair.magnitude) {
      throw unusable(file, `it has magnitudes of "${module}", though its use_dora is false`);
    }
  }
  const config = { ...settings, targetModules: targetModules(fields, tensors) };
  if (others.size === 0) return { config, tensors };
  const kept = KEPT_SETTINGS.filter((name) => fields.raw(name) !== undefined)
    .map((name) => [name, fields.raw(name)]);
  return { config: { ...config, kept: Object.fromEntries(kept) }, tensors, others };
}

/**
 * PEFT also accepts ends of paths, and a regular expression over them; the tensors show what these
 * matched.
 */
function targetModules(fields: JsonFields, tensors: PeftAdapter["tensors"]): string[] {
  const listed = Array.isArray(fields.raw("target_modules"))
    ? fields.strings("target_modules")
    : [];
  return listed.length > 0 && !listed.some((name) => name.includes("."))
    ? listed
    : [...new Set([...tensors.keys()].map((module) => module.slice(module.lastIndexOf(".") + 1)))];
}

function unusable(file: SafetensorsFile, problem: string): ModelError {
  return new ModelError(
    `Cannot use the adapter "${file.path}": ${problem}; save the adapter again`,
  );
}

/** Tensors besides the factors of linear layers that have a meaning here. */
const OTHERS = /\.(weight|bias|lora_embedding_[AB]|token_adapter\.trainable_tokens_delta)$/;
/** A factor of a linear layer or its magnitudes. */
const FACTOR = /^(.+)\.(lora_A|lora_B|lora_magnitude_vector)(\.weight)?$/;

/** @param rankOf The rank that the settings give to a module. */
async function readTensors(
  file: SafetensorsFile,
  rankOf: (module: string) => number,
): Promise<{ tensors: PeftAdapter["tensors"]; others: Map<string, PeftTensor> }> {
  const modules = new Map<string, Map<string, PeftTensor>>();
  const others = new Map<string, PeftTensor>();
  for (const [stored, { dtype, shape }] of file.tensors) {
    const own = stored.startsWith(PREFIX) ? stored.slice(PREFIX.length) : "";
    const name = own.replace(OLDER_TEXT_MODEL, TEXT_MODEL);
    const [, module, factor] = FACTOR.exec(name) ?? [];
    if (module === undefined && !OTHERS.test(name)) {
      throw unusable(file, `its tensor "${stored}" is no factor of a linear layer`);
    }
    const axis = { lora_A: 0, lora_B: 1 }[factor];
    const rank = axis === undefined ? null : rankOf(module);
    if (!isFloatDType(dtype) || (rank !== null && (shape.length !== 2 || shape[axis!] !== rank))) {
      const wanted = rank === null ? "" : ` with ${rank} as size ${axis}`;
      throw unusable(
        file,
        `its tensor "${stored}" is ${dtype} ${
          showJson(shape)
        } and must be F32, F16 or BF16${wanted}`,
      );
    }
    const known = module === undefined ? others.has(name) : modules.get(module)?.has(factor);
    if (known) throw unusable(file, `it has "${name}" twice, under two names`);
    const bytes = await file.read(stored);
    const outlier = findNotFinite(bytes, dtype);
    if (outlier) {
      throw unusable(
        file,
        `element ${outlier.index} of its tensor "${stored}" is ${outlier.shown}, where all must be finite`,
      );
    }
    const tensor = { shape: [...shape], values: toFloat32(bytes, dtype) };
    if (module === undefined) others.set(name, tensor);
    else modules.set(module, (modules.get(module) ?? new Map()).set(factor, tensor));
  }
  if (modules.size + others.size === 0) throw unusable(file, "it holds no tensors");
  const tensors = [...modules].map(([module, factors]) =>
    [module, layerOf(file, module, factors)] as const
  );
  return { tensors: new Map(tensors), others };
}

/** The adapter of a layer, of its tensors. */
function layerOf(
  file: SafetensorsFile,
  module: string,
  factors: Map<string, PeftTensor>,
): LoraTensors {
  const [a, b] = [factors.get("lora_A"), factors.get("lora_B")];
  if (!a || !b) throw unusable(file, `it has only one factor of "${module}"`);
  const magnitude = factors.get("lora_magnitude_vector");
  const [inFeatures, outFeatures] = [a.shape[1], b.shape[0]];
  if (magnitude && magnitude.values.length !== outFeatures) {
    throw unusable(
      file,
      `it has ${magnitude.values.length} magnitudes for the ${outFeatures} rows of "${module}"`,
    );
  }
  return {
    A: a.values,
    B: b.values,
    inFeatures,
    outFeatures,
    ...(magnitude && { magnitude: magnitude.values }),
  };
}

/**
 * Writes an adapter in float32 that PEFT loads, into a folder that is created when missing.
 *
 * @param options `baseModel` is the path or name of the model the adapter belongs to, `baseRevision`
 * the commit of one on a hub.
 * @throws {FileError} if a file cannot be written, or a factor's length is not that of its shape.
 */
export async function writePeftAdapter(
  folder: string,
  adapter: PeftAdapter,
  options: { baseModel: string; baseRevision?: string },
): Promise<void> {
  const { rank, alpha, useRslora, useDora, dropout, kept } = adapter.config;
  const config = {
    base_model_name_or_path: options.baseModel,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: dropout ?? 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    revision: options.baseRevision ?? null,
    target_modules: targetsIn(adapter),
    task_type: "CAUSAL_LM",
    use_dora: useDora ?? false,
    use_rslora: useRslora,
    ...patterns(adapter),
    ...kept,
  };
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw toFileError("create", folder, error);
  }
  await writeSafetensors(
    join(folder, ADAPTER_WEIGHTS_FILE),
    Iterator.from(sources(adapter)).map(expectFinite),
  );
  await writeFileAtomically(
    join(folder, ADAPTER_CONFIG_FILE),
    JSON.stringify(config, null, 2) + "\n",
  );
}

/**
 * What PEFT is to adapt: kinds of modules or, where those of vision may be called alike, a regular
 * expression over paths.
 */
function targetsIn(
  { config: { targetModules }, tensors }: PeftAdapter,
): readonly string[] | string {
  const isText = [...tensors.keys()].every((module) => module.startsWith(TEXT_MODEL));
  if (!isText || targetModules.some((name) => name.includes("."))) return targetModules;
  return `${TEXT_MODEL.replaceAll(".", "\\.")}.*\\.(${targetModules.join("|")})`;
}

/** The layers whose rank or alpha is not that of the settings, by whole names. */
function patterns({ config, tensors }: PeftAdapter): Record<string, Record<string, number>> {
  const ranks: Record<string, number> = {};
  const alphas: Record<string, number> = {};
  for (const [module, pair] of tensors) {
    const key = module.replaceAll(".", "\\.");
    if (rankOf(pair) !== config.rank) ranks[key] = rankOf(pair);
    if (pair.alpha !== undefined) alphas[key] = pair.alpha;
  }
  return {
    ...(Object.keys(ranks).length > 0 && { rank_pattern: ranks }),
    ...(Object.keys(alphas).length > 0 && { alpha_pattern: alphas }),
  };
}

function* sources({ config, tensors, others = new Map() }: PeftAdapter): Iterable<TensorSource> {
  const source = (name: string, shape: number[], values: Float32Array<ArrayBuffer>) => ({
    name: PREFIX + name,
    dtype: "F32" as const,
    shape,
    data: () => fromFloat32(values, "F32"),
  });
  for (const [module, pair] of tensors) {
    const { A, B, inFeatures, outFeatures, magnitude } = pair;
    // Of a wrong length no rank can be told: the settings' then, and writing refuses it.
    const rank = Number.isInteger(rankOf(pair)) ? rankOf(pair) : config.rank;
    yield source(`${module}.lora_A.weight`, [rank, inFeatures], A);
    yield source(`${module}.lora_B.weight`, [outFeatures, rank], B);
    if (magnitude) yield source(`${module}.lora_magnitude_vector`, [outFeatures], magnitude);
  }
  for (const [name, { shape, values }] of others) yield source(name, shape, values);
}
