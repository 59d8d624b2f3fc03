/**
 * Update statistics as sums that can be added up over rows, parts and layers.
 *
 * @module
 */

/** Sums over the rows of one or more adapted weights. */
export interface UpdateCounts {
  /** Codes that changed. */
  codesChanged: number;
  /** Codes in total. */
  codes: number;
  /** Values beyond the format's largest magnitude that were saturated. */
  clamps: number;
  /** ⟨U, U⟩ of the intended change U. */
  intendedSquared: number;
  /** ⟨R, U⟩ of the realised change R of the decoded weight. */
  realizedDotIntended: number;
}

/** The sums over nothing. */
export const NO_COUNTS: Readonly<UpdateCounts> = {
  codesChanged: 0,
  codes: 0,
  clamps: 0,
  intendedSquared: 0,
  realizedDotIntended: 0,
};

/** The sums over both. */
export function addCounts(a: UpdateCounts, b: UpdateCounts): UpdateCounts {
  return {
    codesChanged: a.codesChanged + b.codesChanged,
    codes: a.codes + b.codes,
    clamps: a.clamps + b.clamps,
    intendedSquared: a.intendedSquared + b.intendedSquared,
    realizedDotIntended: a.realizedDotIntended + b.realizedDotIntended,
  };
}
