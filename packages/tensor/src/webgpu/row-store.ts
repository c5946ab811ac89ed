import { mapMode, usage } from './adapter.js';
import { BindGroups } from './bind-groups.js';
import type { Gpu } from './gpu.js';
import { grainRows, transferBytes, vec4Count } from './limits.js';

/** Rows that are stored together: `columns` of each, of which those before `mirrored` also stand above the diagonal. */
export interface Grain {
  readonly rows: number;
  readonly columns: number;
  readonly mirrored: number;
  readonly held: boolean;
}

interface Place {
  readonly slab: number;
  /** In vec4. */
  readonly offset: number;
  readonly stride: number;
}

/** A buffer of whole grains with the table that the kernels find them by. */
export interface Slab {
  readonly buffer: GPUBuffer;
  readonly table: GPUBuffer;
  readonly params: GPUBuffer;
  readonly bindings: BindGroups;
}

/** Divides grains into slabs that no binding is too small for. */
export function placeGrains(grains: readonly Grain[], slabBytes: number): { places: Place[]; slabs: number[] } {
  const slabs: number[] = [];
  const places = grains.map(({ rows, columns, held }) => {
    const stride = vec4Count(columns);
    if (!held) return { slab: -1, offset: 0, stride };
    const length = rows * stride;
    if (slabs.length === 0 || (slabs[slabs.length - 1] + length) * 16 > slabBytes) slabs.push(0);
    const slab = slabs.length - 1;
    const offset = slabs[slab];
    slabs[slab] += length;
    return { slab, offset, stride };
  });
  return { places, slabs };
}

/** Rows of a matrix in buffers of the device, each padded with zeros to whole vec4. All methods run inside `Gpu.run`. */
export class RowStore {
  readonly rows: number;
  readonly grains: readonly Grain[];
  readonly slabs: readonly Slab[];
  readonly #gpu: Gpu;
  readonly #places: readonly Place[];

  private constructor(gpu: Gpu, grains: readonly Grain[], places: readonly Place[], slabs: readonly Slab[]) {
    this.#gpu = gpu;
    this.#places = places;
    this.grains = grains;
    this.slabs = slabs;
    this.rows = grains.reduce((sum, grain) => sum + grain.rows, 0);
  }

  /** All zeros. @throws TensorError OUT_OF_MEMORY */
  static async open(gpu: Gpu, grains: readonly Grain[]): Promise<RowStore> {
    const { places, slabs: sizes } = placeGrains(grains, gpu.bufferBytes);
    const slabs: Slab[] = [];
    try {
      for (const [index, length] of sizes.entries()) {
        const buffer = await gpu.allocate(length * 16);
        const entries = places.flatMap(({ slab, offset, stride }, g) =>
          slab === index ? [offset, stride, vec4Count(grains[g].mirrored) * 4, 1] : [0, stride, 0, 0],
        );
        const table = gpu.device.createBuffer({ size: entries.length * 4, usage: usage.STORAGE | usage.COPY_DST });
        gpu.device.queue.writeBuffer(table, 0, Uint32Array.from(entries));
        const params = gpu.device.createBuffer({ size: 32, usage: usage.UNIFORM | usage.COPY_DST });
        slabs.push({ buffer, table, params, bindings: new BindGroups() });
      }
    } catch (error) {
      for (const slab of slabs) destroySlab(slab);
      throw error;
    }
    return new RowStore(gpu, grains, places, slabs);
  }

  get bytes(): number {
    return this.slabs.reduce((sum, { buffer }) => sum + buffer.size, 0);
  }

  /** Writes whole rows from row `first` on, which all have `columns` columns. */
  async write(first: number, columns: number, data: Float32Array): Promise<void> {
    const stride = vec4Count(columns) * 4;
    for (const { slab, at, row, rows } of this.#pieces(first, data.length / columns)) {
      let from = data.subarray(row * columns, (row + rows) * columns);
      if (stride !== columns) {
        const padded = this.#gpu.host(rows * stride).fill(0);
        for (let i = 0; i < rows; i++) padded.set(from.subarray(i * columns, (i + 1) * columns), i * stride);
        from = padded;
      }
      this.#gpu.device.queue.writeBuffer(slab.buffer, at, from as Float32Array<ArrayBuffer>);
      await this.#gpu.settled();
    }
  }

  /** Reads `rows` rows from row `first` on into `out`, row-major without padding. */
  async read(first: number, rows: number, columns: number, out: Float32Array | Float64Array): Promise<void> {
    const stride = vec4Count(columns) * 4;
    for (const piece of this.#pieces(first, rows)) {
      const bytes = piece.rows * stride * 4;
      const { buffer } = await this.#gpu.scratch('read', bytes);
      this.#gpu.submit((encoder) => encoder.copyBufferToBuffer(piece.slab.buffer, piece.at, buffer, 0, bytes));
      await buffer.mapAsync(mapMode.READ, 0, bytes);
      const data = new Float32Array(buffer.getMappedRange(0, bytes));
      for (let i = 0; i < piece.rows; i++)
        out.set(data.subarray(i * stride, i * stride + columns), (piece.row + i) * columns);
      buffer.unmap();
    }
  }

  /** @throws TensorError OUT_OF_MEMORY */
  async copy(): Promise<RowStore> {
    const copy = await RowStore.open(this.#gpu, this.grains);
    this.#gpu.submit((encoder) => {
      for (const [i, { buffer }] of this.slabs.entries())
        encoder.copyBufferToBuffer(buffer, 0, copy.slabs[i].buffer, 0, buffer.size);
    });
    await this.#gpu.settled();
    return copy;
  }

  destroy(): void {
    for (const slab of this.slabs) destroySlab(slab);
  }

  /** The rows in stretches within a grain and within what is transferred at once; `row` counts from the first asked for. */
  *#pieces(first: number, rows: number): Iterable<{ slab: Slab; at: number; row: number; rows: number }> {
    let row = first;
    while (row < first + rows) {
      const g = Math.floor(row / grainRows);
      const { slab, offset, stride } = this.#places[g];
      const end = Math.min(
        (g + 1) * grainRows,
        first + rows,
        row + Math.max(1, Math.floor(transferBytes / 16 / stride)),
      );
      const at = (offset + (row - g * grainRows) * stride) * 16;
      yield { slab: this.slabs[slab], at, row: row - first, rows: end - row };
      row = end;
    }
  }
}

function destroySlab({ buffer, table, params }: Slab): void {
  for (const each of [buffer, table, params]) each.destroy();
}
