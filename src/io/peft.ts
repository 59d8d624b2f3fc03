/**
 * LoRA adapters in the layout of the PEFT library: `adapter_config.json` and
 * `adapter_model.safetensors`, with `base_model.model.<module>.lora_A.weight` of `[rank, K]` and
 * `.lora_B.weight` of `[N, rank]` for every adapted linear of `[N, K]`.
 *
 * @module
 */

import { join } from "node:path";
import { FileError, ModelError } from "../errors.ts";
import { writeFileAtomically } from "./atomic.ts";
import { fromFloat32, isFloatDType, toFloat32 } from "./dtype.ts";
import { exists } from "./exists.ts";
import { toFileError } from "./file_error.ts";
import { JsonFields, readJson, showJson } from "./json.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "./safetensors.ts";

/** The settings of an adapter: its rank, its scale, and the layers it adapts. */
export interface PeftConfig {
  /** Rows of A and columns of B. */
  rank: number;
  /** The product is scaled by `alpha / rank`, or `alpha / sqrt(rank)` with `useRslora`. */
  alpha: number;
  /** Last parts of the names of the adapted modules, such as `q_proj`. */
  targetModules: string[];
  /** Whether the adapter is rank-stabilised. */
  useRslora: boolean;
}

/** The two factors of the change of one linear layer: `ΔW = scale · B · A`. */
export interface LoraTensors {
  /** `[rank, inFeatures]`, row-major. */
  A: Float32Array<ArrayBuffer>;
  /** `[outFeatures, rank]`, row-major. */
  B: Float32Array<ArrayBuffer>;
  /** Columns of the linear's weight. */
  inFeatures: number;
  /** Rows of the linear's weight. */
  outFeatures: number;
}

/** A LoRA adapter. */
export interface PeftAdapter {
  /** Its settings. */
  config: PeftConfig;
  /** The factors by the name of the module, such as `model.layers.0.self_attn.q_proj`. */
  tensors: Map<string, LoraTensors>;
}

/** The file by which an adapter folder is known. */
export const ADAPTER_CONFIG_FILE = "adapter_config.json";
/** The weights of an adapter folder. */
export const ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors";
const PREFIX = "base_model.model.";

/** Settings with which an adapter is something other than `W + scale · B · A`. */
const UNSUPPORTED = [
  "use_dora",
  "use_qalora",
  "use_bdlora",
  "lora_bias",
  "fan_in_fan_out",
  "rank_pattern",
  "alpha_pattern",
  "modules_to_save",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "monteclora_config",
];

/** Where the modules of a text model are inside a model of texts and images. */
const TEXT_MODEL = "model.language_model.";
/** The same before transformers 4.52. */
const OLDER_TEXT_MODEL = /^language_model\.model\./;

/** Initialisations that leave the base model's weights as they are. */
const INITIALIZATIONS: unknown[] = [undefined, true, false, "gaussian", "eva", "orthogonal"];

/**
 * Reads an adapter that PEFT, or {@linkcode writePeftAdapter}, has written.
 *
 * @throws {FileError} if a file is missing or damaged.
 * @throws {ModelError} if the adapter is of another kind than plain LoRA, or incomplete.
 */
export async function readPeftAdapter(folder: string): Promise<PeftAdapter> {
  const configPath = join(folder, ADAPTER_CONFIG_FILE);
  const fields = new JsonFields(await readJson(configPath), `"${configPath}"`);
  const scaling = parseScaling(fields);
  const weightsPath = join(folder, ADAPTER_WEIGHTS_FILE);
  if (!await exists(weightsPath)) {
    throw new FileError(
      `Cannot find "${weightsPath}": adapters are read only from safetensors; save the adapter ` +
        `with a current version of PEFT`,
    );
  }
  using file = await SafetensorsFile.open(weightsPath);
  const tensors = await readTensors(file, scaling.rank);
  const listed = Array.isArray(fields.raw("target_modules"))
    ? fields.strings("target_modules")
    : [];
  // PEFT also accepts ends of paths, and a regular expression over them; the tensors show what
  // these matched.
  const targetModules = listed.length > 0 && !listed.some((name) => name.includes("."))
    ? listed
    : [...new Set([...tensors.keys()].map((module) => module.slice(module.lastIndexOf(".") + 1)))];
  return { config: { ...scaling, targetModules }, tensors };
}

function parseScaling(fields: JsonFields): Omit<PeftConfig, "targetModules"> {
  const remedy = "use a plain LoRA adapter";
  if (fields.raw("peft_type") !== "LORA") throw fields.error("peft_type", '"LORA"', remedy);
  for (const name of UNSUPPORTED) {
    if (isSet(fields.raw(name))) throw fields.error(name, "off", remedy);
  }
  if (fields.string("bias", "none") !== "none") throw fields.error("bias", '"none"', remedy);
  if (!INITIALIZATIONS.includes(fields.raw("init_lora_weights"))) {
    throw fields.error(
      "init_lora_weights",
      "one that keeps the base model's weights",
      "convert the adapter to plain LoRA with PEFT's path_initial_model_for_weight_conversion",
    );
  }
  return {
    rank: fields.integer("r", 1),
    alpha: fields.positive("lora_alpha"),
    useRslora: fields.boolean("use_rslora", false),
  };
}

function isSet(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== false;
}

async function readTensors(file: SafetensorsFile, rank: number): Promise<PeftAdapter["tensors"]> {
  const fail = (problem: string) =>
    new ModelError(`Cannot use the adapter "${file.path}": ${problem}; save the adapter again`);
  const modules = new Set<string>();
  for (const name of file.tensors.keys()) {
    const match = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(name);
    if (!match) throw fail(`its tensor "${name}" is no factor of a linear layer`);
    modules.add(match[1]);
  }
  if (modules.size === 0) throw fail("it holds no tensors");

  const tensors: PeftAdapter["tensors"] = new Map();
  for (const module of modules) {
    const read = async (factor: "A" | "B", rankAxis: number) => {
      const name = `${PREFIX}${module}.lora_${factor}.weight`;
      const info = file.tensors.get(name);
      if (!info) throw fail(`it has only one factor of "${module}"`);
      if (info.shape.length !== 2 || info.shape[rankAxis] !== rank || !isFloatDType(info.dtype)) {
        throw fail(
          `its tensor "${name}" is ${info.dtype} ${showJson(info.shape)} and must be F32, F16 or ` +
            `BF16 with ${rank} as size ${rankAxis}`,
        );
      }
      return { values: toFloat32(await file.read(name), info.dtype), shape: info.shape };
    };
    const { values: A, shape: [, inFeatures] } = await read("A", 0);
    const { values: B, shape: [outFeatures] } = await read("B", 1);
    tensors.set(module.replace(OLDER_TEXT_MODEL, TEXT_MODEL), { A, B, inFeatures, outFeatures });
  }
  return tensors;
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
  const { rank, alpha, useRslora } = adapter.config;
  const config = {
    base_model_name_or_path: options.baseModel,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    revision: options.baseRevision ?? null,
    target_modules: targetsIn(adapter),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: useRslora,
  };
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw toFileError("create", folder, error);
  }
  await writeSafetensors(join(folder, ADAPTER_WEIGHTS_FILE), sources(adapter));
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
  if (![...tensors.keys()].every((module) => module.startsWith(TEXT_MODEL))) return targetModules;
  return `${TEXT_MODEL.replaceAll(".", "\\.")}.*\\.(${targetModules.join("|")})`;
}

function* sources({ config: { rank }, tensors }: PeftAdapter): Iterable<TensorSource> {
  for (const [module, { A, B, inFeatures, outFeatures }] of tensors) {
    const source = (factor: string, values: Float32Array<ArrayBuffer>, shape: number[]) => ({
      name: `${PREFIX}${module}.lora_${factor}.weight`,
      dtype: "F32" as const,
      shape,
      data: () => fromFloat32(values, "F32"),
    });
    yield source("A", A, [rank, inFeatures]);
    yield source("B", B, [outFeatures, rank]);
  }
}
