/**
 * The buffers of all typed arrays in a value that own theirs whole: those can be handed to another thread without a copy.
 * A view of a part of a buffer is left out, and so is copied: others may look at the rest.
 */
export function transferables(value: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (value instanceof Float32Array || value instanceof Float64Array) {
    const { buffer } = value;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === value.byteLength) found.add(buffer);
  } else if (typeof value === 'object' && value !== null)
    for (const part of Object.values(value)) transferables(part, found);
  return [...found];
}
