/**
 * Config files: options of a command in JSON or YAML, under the names of its flags.
 *
 * @module
 */

import { extname } from "node:path";
import { FileError } from "../errors.ts";
import { isJsonObject, readJson, showJson } from "../io/json.ts";
import { LARGEST_WRITTEN, readTextFile } from "../io/text_file.ts";
import { parseYaml } from "../io/yaml.ts";
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
  try {
    return parseYaml(text);
  } catch (error) {
    throw new FileError(`Cannot read "${path}" as YAML: ${(error as SyntaxError).message}`);
  }
}
