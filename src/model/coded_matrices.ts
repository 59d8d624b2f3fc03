/**
 * The weights of a quantised folder that are stored as codes, with their scales: each looked up once,
 * when the folder is opened, and held against what its `quantization_config` says. A scale that is
 * missing, of another shape or no positive number makes a model that loads and computes nonsense, so
 * it is refused by name.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import { isFloatDType, toFloat32 } from "../io/dtype.ts";
import type { Weights } from "../io/weights.ts";
import type { CodedMatrices, CodedMatrix } from "../layers/weight_source.ts";
import { PRECISIONS } from "../layers/operand.ts";
import { codeFormatOf } from "../numerics/formats.ts";
import { type BlockShape, gridShape } from "../numerics/scale_grid.ts";
import { namesModule } from "./module_patterns.ts";
import type { ModelPlan } from "./plan.ts";
import { linearTensorNames, planTensorShapes } from "./plan_tensors.ts";
import type { QuantizationConfig, QuantizationMethod } from "./quantization_config.ts";

/** What the weight of a linear layer is called after the path of its module. */
const WEIGHT = "weight";
/** The names of the scales, by whose files they are in: the first that is there counts. */
const SCALES: Readonly<Record<QuantizationMethod, { weight: string[]; activations: string[] }>> = {
  "compressed-tensors": { weight: ["weight_scale"], activations: ["input_scale"] },
  fp8: {
    weight: ["weight_scale_inv", "weight_scale"],
    activations: ["activation_scale", "input_scale"],
  },
};
/** Some versions of compressed-tensors store the zero points of symmetric scales: zeros. */
const ZERO_POINT = "weight_zero_point";

/** Scales, their reciprocals and their products with codes, which go to 448, must be normal numbers of f32. */
const SCALE = { least: 2 ** -126, most: 2 ** 118 };
const AGAIN = "fetch the model again, all of its files";

/** What {@linkcode readCodedMatrices} finds. */
export interface FoundMatrices {
  matrices: CodedMatrices;
  /** The names of the scales, and of what else belongs to them. */
  claimed: ReadonlySet<string>;
}

/**
 * Finds the linear layers that are stored as codes, and reads their scales.
 *
 * @param quantization Null for a folder that is not quantised, whose weights must not be codes.
 * @throws {ModelError} for codes or scales that do not fit it, naming the tensor.
 * @throws {FileError} if a scale cannot be read.
 */
export async function readCodedMatrices(
  weights: Weights,
  plan: ModelPlan,
  quantization: QuantizationConfig | null,
): Promise<FoundMatrices> {
  const linears = linearTensorNames(plan);
  const matrices = new Map<string, CodedMatrix>();
  const claimed = new Set<string>();
  for (const name of planTensorShapes(plan).keys()) {
    if (!weights.has(name)) continue; // told by `claimed_tensors.ts`
    const { dtype } = weights.info(name);
    if (isFloatDType(dtype)) {
      if (quantization?.decompressed) claimScales(weights, name, quantization, claimed);
      continue;
    }
    const wanted = quantization && linears.has(name)
      ? PRECISIONS[quantization.format].input.dtype
      : null;
    if (dtype !== wanted) throw otherDType(name, quantization, wanted, dtype);
    matrices.set(name, await readScales(weights, name, quantization!, claimed));
  }
  return { matrices, claimed };
}

async function readScales(
  weights: Weights,
  name: string,
  quantization: QuantizationConfig,
  claimed: Set<string>,
): Promise<CodedMatrix> {
  const { method, format, otherActivations, ignore } = quantization;
  const module = name.slice(0, -WEIGHT.length);
  const ignored = ignore.find((entry) => namesModule(entry, module.slice(0, -1), "ignore"));
  if (ignored !== undefined) {
    throw new ModelError(
      `Cannot use "${name}" as it is stored as ${
        weights.info(name).dtype
      } and config.json says by ` +
        `"${ignored}" that it is not quantised: one of the two was edited, so ${AGAIN}`,
    );
  }
  const find = (names: readonly string[]): string => {
    const found = names.map((scale) => module + scale).find((scale) => weights.has(scale));
    if (found === undefined) {
      throw new ModelError(
        `Cannot use "${name}" as it is stored as ${weights.info(name).dtype} and ` +
          `"${module}${names[0]}" is missing: ${AGAIN}`,
      );
    }
    claimed.add(found);
    return found;
  };
  const { shape } = weights.info(name);
  const grid = await readGrid(weights, find(SCALES[method].weight), name, quantization.weights);
  if (otherActivations === "static") {
    await readGrid(weights, find(SCALES[method].activations), name, "tensor");
  }
  await claimZeroPoint(weights, module + ZERO_POINT, claimed);
  return {
    format: PRECISIONS[format].input,
    grid: { scales: grid, block: blockOf(shape, quantization.weights) },
  };
}

/** The rows and columns of a matrix that share a scale. */
function blockOf([rows, cols]: readonly number[], sharing: QuantizationConfig["weights"]) {
  return sharing === "row"
    ? [1, cols] as const
    : sharing === "tensor"
    ? [rows, cols] as const
    : sharing;
}

/** Reads the scales of a matrix, f32 in the order of its blocks. */
async function readGrid(
  weights: Weights,
  name: string,
  matrix: string,
  sharing: "row" | "tensor" | BlockShape,
): Promise<Float32Array<ArrayBuffer>> {
  const { dtype, shape } = weights.info(name);
  const [rows, cols] = weights.info(matrix).shape;
  const [gridRows, gridCols] = gridShape([rows, cols], blockOf([rows, cols], sharing));
  const possible = sharing === "tensor"
    ? [[], [1], [1, 1]]
    : sharing === "row"
    ? [[rows, 1], [rows]]
    : [[gridRows, gridCols]];
  if (!possible.some((wanted) => `${wanted}` === `${shape}` && wanted.length === shape.length)) {
    const per = typeof sharing === "string" ? sharing : `block of ${sharing.join("×")}`;
    throw new ModelError(
      `Cannot use "${name}" as its shape is [${shape}]: config.json asks for ` +
        `${possible.map((wanted) => `[${wanted}]`).join(" or ")}, one scale per ${per} of the ` +
        `${rows}×${cols} matrix "${matrix}"; ${AGAIN}`,
    );
  }
  if (!isFloatDType(dtype)) {
    throw new ModelError(
      `Cannot use "${name}" as its dtype is ${dtype}: scales must be F32, F16 or BF16; choose a ` +
        "model with such scales",
    );
  }
  const scales = toFloat32(await weights.read(name), dtype);
  const wrong = scales.findIndex((scale) => !(scale >= SCALE.least && scale <= SCALE.most));
  if (wrong >= 0) {
    throw new ModelError(
      `Cannot use "${name}" as its value ${wrong} is ${scales[wrong]}: scales must be positive ` +
        `numbers, from 2^-126 to 2^118; ${AGAIN}`,
    );
  }
  return scales;
}

/** Claims the scales of a weight that was decoded. */
function claimScales(
  weights: Weights,
  name: string,
  { method }: QuantizationConfig,
  claimed: Set<string>,
): void {
  const { weight, activations } = SCALES[method];
  for (const scale of [...weight, ...activations, ZERO_POINT]) {
    const tensor = name.slice(0, -WEIGHT.length) + scale;
    if (weights.has(tensor)) claimed.add(tensor);
  }
}

async function claimZeroPoint(
  weights: Weights,
  name: string,
  claimed: Set<string>,
): Promise<void> {
  if (!weights.has(name)) return;
  if ((await weights.read(name)).some((byte) => byte !== 0)) {
    throw new ModelError(
      `Cannot use "${name}" as it has other values than zero: only symmetric scales are supported; ` +
        "choose a model that was quantised symmetrically",
    );
  }
  claimed.add(name);
}

function otherDType(
  name: string,
  quantization: QuantizationConfig | null,
  wanted: string | null,
  found: string,
): ModelError {
  if (wanted !== null) {
    return new ModelError(
      `Cannot use "${name}" as its dtype is ${found}: the quantization_config in config.json asks ` +
        `for ${wanted}, or F32, F16 or BF16 where it is not quantised; ${AGAIN}`,
    );
  }
  const reason = quantization === null && codeFormatOf(found)
    ? "config.json has no quantization_config that says by which scales it is quantised; restore " +
      "the config.json that the model was published with"
    : "it must be F32, F16 or BF16" +
      (quantization ? ", as only the linear layers of blocks may be quantised" : "") +
      "; choose a model that stores it so";
  return new ModelError(`Cannot use "${name}" as its dtype is ${found}: ${reason}`);
}
