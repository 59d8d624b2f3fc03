/**
 * Config files: options of a command in JSON or YAML, under the names of its flags.
 *
 * @module
 */

import { parse as parseYaml } from "@std/yaml";
import { extname } from "node:path";
import { FileError } from "../errors.ts";
import { isJsonObject, readJson, showJson } from "../io/json.ts";
import { LARGEST_WRITTEN, readTextFile } from "../io/text_file.ts";
import { type FlagTable, type FlagValues, type OnHint, readOptions } from "./flags.ts";
import { translateKeys } from "./other_names.ts";

/**
 * Reads options from a JSON or, by its ending, YAML file.
 *
 * @param onHint Is told of options that were given by an earlier name.
 * @throws {FileError} if the file cannot be read, or is not what its ending says.
 * @throws {UsageError} for an unknown option or a value of the wrong kind.
 */
export async function readConfigFile<F extends FlagTable>(
  path: string,
  flags: F,
  onHint?: OnHint,
): Promise<FlagValues<F>> {
  const yaml = [".yaml", ".yml"].includes(extname(path).toLowerCase());
  const content = yaml ? await readYaml(path) : await readJson(path, LARGEST_WRITTEN);
  if (!isJsonObject(content)) {
    throw new FileError(
      `Cannot use "${path}" as its content is ${showJson(content)}: ` +
        'write options by their names, as in {"batch-size": 8}',
    );
  }
  const where = `"${path}"`;
  return readOptions(
    translateKeys(content, flags, where, onHint ?? (() => {})),
    flags,
    where,
    onHint,
  );
}

/** Some texts take the YAML parser time that grows with the square of their length. */
const LARGEST_YAML = 1 << 16;

async function readYaml(path: string): Promise<unknown> {
  const text = await readTextFile(path, LARGEST_YAML);
  let content: unknown;
  try {
    // The values of JSON only: no dates, no bytes, and no merged mappings, which can be any size.
    content = parseYaml(text, { schema: "core" });
  } catch (error) {
    const message = error instanceof RangeError
      ? "it is nested too deeply"
      : error instanceof SyntaxError
      ? messageOf(error)
      : "something is missing, such as the name behind & or *"; // the parser stumbled
    throw new FileError(`Cannot read "${path}" as YAML: ${message}; repair the file`);
  }
  expectPlainKeys(content, path);
  return content;
}

/** Keys of YAML may be lists and mappings, which the parser turns into words of its own. */
function expectPlainKeys(content: unknown, path: string): void {
  if (!isJsonObject(content)) return;
  if (!Object.keys(content).some((key) => key.includes("[object Object]"))) return;
  throw new FileError(`Cannot use "${path}" as a key of it is a mapping: give names of options`);
}

/** What the parser says, without the line of the text that it shows below. */
function messageOf(error: unknown): string {
  return (error as Error).message.split(/:?\n/)[0];
}
