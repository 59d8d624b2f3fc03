// Which tile of the output a workgroup makes. Include-only.
//
// Workgroups that run at the same time should need few rows of both operands, so that these stay in the cache: tiles go
// down in bands of BAND rows of tiles, column by column, instead of along the whole width.

fn output_tile(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
  let index = group.y * groups.x + group.x;
  let band = index / (BAND * groups.x);
  let height = min(u32(BAND), groups.y - band * BAND);
  let within = index - band * BAND * groups.x;
  return vec2<u32>(within / height, band * BAND + within % height);
}
