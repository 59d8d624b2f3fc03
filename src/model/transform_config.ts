/**
 * The `transform_config` block of a compressed-tensors model: linear layers whose inputs are rotated
 * as they come, by a block Hadamard transform, and whose weights are stored rotated to fit:
 * `y = (x·H)·(W·H)ᵀ`, with H = Sylvester's matrix of ±1 in blocks, divided by the root of its size,
 * which is symmetric and its own inverse.
 *
 * Transforms of locations `weight_input` and `weight_output` are in the stored weights already:
 * nobody has to do anything about them.
 *
 * @module
 */

import { isJsonObject, JsonFields } from "../io/json.ts";
import { LARGEST_ROTATION } from "../numerics/hadamard.ts";
import { expectEntries, namesModule } from "./module_patterns.ts";
import type { ModelPlan } from "./plan.ts";
import { planTensorShapes } from "./plan_tensors.ts";

/** The linear layers whose inputs are rotated: block size by name of the weight's tensor. */
export type Rotations = ReadonlyMap<string, number>;

/** Locations that are done with once the weights are stored. */
const STORED = ["weight_input", "weight_output"];
/** The class of the modules that hold matrices. */
const LINEAR = "Linear";
const LM_HEAD = "lm_head";
const WEIGHT = ".weight";

const REMEDY = "of transforms, only Hadamard blocks on the inputs of a block's linear layers are " +
  "supported, so choose a model without transforms";

/**
 * The `transform_config` of a model whose layers are rotated, as llm-compressor writes that of
 * SpinQuant's R4.
 *
 * @param kinds By block size the kinds of layers, such as `down_proj`, in blocks of that size.
 * @param ignore The modules of these kinds that are not rotated.
 */
export function transformConfig(
  kinds: ReadonlyMap<number, readonly string[]>,
  ignore: readonly string[] = [],
): Record<string, unknown> {
  const groups = [...kinds].map(([size, names]) => {
    const apply = { targets: names.map((name) => `re:.*${name}$`), ignore: [...ignore] };
    return [transformName(size), {
      type: "hadamard",
      apply: [
        { ...apply, location: "input", inverse: false },
        { ...apply, location: "weight_input", inverse: true },
      ],
      randomize: false,
      requires_grad: false,
      head_dim: size,
      precision: "torch.float32",
    }];
  });
  return { config_groups: Object.fromEntries(groups) };
}

/** Name of the group of the transforms in blocks of `size`. */
function transformName(size: number): string {
  return `R${size}`;
}

/**
 * The name of the tensor that holds the matrix of a module's transform, ±1 [size, size], for tools
 * that take it from there. The modules of a group share it, so the first has it.
 */
export function transformTensor(module: string, size: number): string {
  return `${module}.${transformName(size)}_input${WEIGHT}`;
}

/** What {@linkcode parseTransformConfig} finds. */
export interface Transforms {
  /** Block sizes of what is rotated. */
  rotations: Rotations;
  /** The names that tensors of the transforms' matrices may have, with the sizes of these. */
  matrices: ReadonlyMap<string, number>;
}

/**
 * Reads a `transform_config` block.
 *
 * @param fields Of the `quantization_config` that holds it.
 * @throws {ModelError} for transforms that this project cannot apply.
 */
export function parseTransformConfig(fields: JsonFields, plan: ModelPlan): Transforms {
  const rotations = new Map<string, number>();
  const matrices = new Map<string, number>();
  const value = fields.raw("transform_config");
  if (value === undefined || (isJsonObject(value) && Object.keys(value).length === 0)) {
    return { rotations, matrices };
  }
  const config = fields.object("transform_config");
  const groups = config.object("config_groups");
  refuseOthers(config);
  const modules = modulesOf(plan);
  for (const name of Object.keys(groups.json)) {
    for (const [module, size] of parseGroup(groups.object(name), modules)) {
      const tensor = module + WEIGHT;
      if (rotations.has(tensor)) {
        throw groups.error(
          name,
          `on other layers than the groups before, as ${module} has one`,
          REMEDY,
        );
      }
      rotations.set(tensor, size);
      matrices.set(`${module}.${name}_input${WEIGHT}`, size);
    }
  }
  return { rotations, matrices };
}

/** The modules of a model: input features of the linear layers of blocks, null for all others. */
type Modules = ReadonlyMap<string, number | null>;

function modulesOf(plan: ModelPlan): Modules {
  const modules = new Map<string, number | null>([[LM_HEAD, null]]);
  const outside = [
    ...[plan.embedding.tensor, plan.head.tensor],
    ...(plan.tokenInputs ? [plan.tokenInputs.table.tensor] : []),
  ];
  for (const [tensor, shape] of planTensorShapes(plan)) {
    const path = tensor.slice(0, -WEIGHT.length).split(".");
    for (let i = 0; i < path.length; i++) modules.set(path.slice(0, i).join("."), null);
    const isLinear = shape.length === 2 && !outside.includes(tensor);
    modules.set(path.join("."), isLinear ? shape[1] : null);
  }
  return modules;
}

/** The block sizes of the linear layers whose inputs a group rotates, by module. */
function parseGroup(group: JsonFields, modules: Modules): Map<string, number> {
  if (group.string("type") !== "hadamard") throw group.error("type", '"hadamard"', REMEDY);
  if (group.boolean("randomize", false)) throw group.error("randomize", "false", REMEDY);
  const headDim = group.has("head_dim") ? group.integer("head_dim", 1) : null;
  refuseOthers(group, ["apply", "precision", "requires_grad"]);
  const entries = group.raw("apply");
  if (!Array.isArray(entries)) throw group.error("apply", "an array");
  const rotated = new Map<string, number>();
  for (const [index, json] of entries.entries()) {
    const entry = new JsonFields(json, `apply[${index}] in ${group.where}`);
    const location = entry.string("location");
    refuseOthers(entry, ["targets", "ignore", "inverse"]); // H is its own inverse
    if (STORED.includes(location)) continue;
    if (location !== "input") {
      throw entry.error("location", `input, ${STORED.join(" or ")}`, REMEDY);
    }
    for (const module of targeted(entry, modules)) {
      const inFeatures = modules.get(module);
      if (typeof inFeatures !== "number" || rotated.has(module)) {
        const wanted = `names of linear layers of blocks, each once, and not of "${module}"`;
        throw entry.error("targets", wanted, REMEDY);
      }
      const size = headDim ?? inFeatures;
      const possible = Number.isInteger(Math.log2(size)) && size <= LARGEST_ROTATION;
      if (!possible || inFeatures % size !== 0) {
        const wanted = `a power of two up to ${LARGEST_ROTATION} that divides the ${inFeatures} ` +
          `inputs of "${module}"`;
        throw group.error("head_dim", wanted, REMEDY);
      }
      if (size > 1) rotated.set(module, size);
    }
  }
  return rotated;
}

/** The modules that an entry of `apply` names. */
function targeted(entry: JsonFields, modules: Modules): string[] {
  const [targets, ignore] = ["targets", "ignore"].map((list) => names(entry, list, modules));
  return [...modules.keys()].filter((module) => targets(module) && !ignore(module));
}

/** Tells which modules a list of an entry names, which may be a single string. */
function names(entry: JsonFields, list: string, modules: Modules): (module: string) => boolean {
  const where = `${list} in ${entry.where}`;
  const patterns = typeof entry.raw(list) === "string"
    ? [entry.string(list)]
    : entry.strings(list, list === "ignore" ? [] : undefined);
  const known = (name: string) => name === LINEAR || name.startsWith("re:") || modules.has(name);
  if (!patterns.every(known)) {
    throw entry.error(list, `${LINEAR}, names of modules or regular expressions`, REMEDY);
  }
  expectEntries(patterns, where);
  const isLinear = (module: string) =>
    module === LM_HEAD || typeof modules.get(module) === "number";
  return (module) =>
    patterns.some((name) => name === LINEAR ? isLinear(module) : namesModule(name, module, where));
}

/** Refuses fields that nothing has read, but for those in `known`. */
function refuseOthers(fields: JsonFields, known: readonly string[] = []): void {
  const [other] = fields.unclaimed().filter((name) => !known.includes(name));
  if (other !== undefined) throw fields.error(other, "absent", REMEDY);
}
