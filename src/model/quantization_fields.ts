/**
 * Checks of the fields of a `quantization_config` block.
 *
 * @module
 */

import type { ModelError } from "../errors.ts";
import { isJsonObject, type JsonFields, showJson } from "../io/json.ts";
import type { BlockShape } from "../numerics/scale_grid.ts";
import { expectEntries } from "./module_patterns.ts";

/** Expects a field to have a value. */
export function expectField(fields: JsonFields, name: string, wanted: unknown): void {
  if (fields.raw(name) !== wanted) throw unsupported(fields, name, showJson(wanted));
}

/** Expects a field to be absent, null, or an object or array of nothing, as newer libraries write. */
export function expectNothing(fields: JsonFields, name: string): void {
  const value = fields.raw(name);
  const isNothing = value === undefined ||
    (typeof value === "object" && Object.keys(value as object).length === 0);
  if (!isNothing) throw unsupported(fields, name, "absent, null or empty");
}

/**
 * The same for the sparsity of a model, which older libraries write for models that are not sparse as
 * well.
 */
export function expectDense(fields: JsonFields, name: string): void {
  const value = fields.raw(name);
  if (isJsonObject(value) && value.format === "dense") return;
  expectNothing(fields, name);
}

/** A list of modules: names, or regular expressions after `re:`. */
export function parseModules(fields: JsonFields, name: string): string[] {
  const entries = fields.strings(name, []);
  expectEntries(entries, `${name} in ${fields.where}`);
  return entries;
}

/** The rows and columns that share a scale. */
export function parseBlock(fields: JsonFields, name: string): BlockShape {
  const value = fields.raw(name);
  const isBlock = Array.isArray(value) && value.length === 2 &&
    value.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!isBlock) throw unsupported(fields, name, "the rows and columns of a block, as [128, 128]");
  return [value[0], value[1]];
}

/** The error for a field that asks for what this project does not read. */
export function unsupported(fields: JsonFields, name: string, wanted: string): ModelError {
  return fields.error(
    name,
    wanted,
    "of quantized models, those of compressed-tensors in FP8 or int8 and those of quant_method fp8 " +
      "are supported, with symmetric scales per tensor, row or block, so choose such a model or the " +
      "unquantized one",
  );
}
