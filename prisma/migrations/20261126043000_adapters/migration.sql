-- Low-rank changes from elsewhere, as factors of each layer; named by what is in them.
CREATE TABLE "adapters" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "own" BOOLEAN NOT NULL,
    "origin" JSONB,
    "bytes" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "adapters_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "adapters_rank_check" CHECK ("rank" > 0)
);

CREATE TABLE "adapter_layers" (
    "adapter_id" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "g" BYTEA STORAGE EXTERNAL NOT NULL,
    "b" BYTEA STORAGE EXTERNAL NOT NULL,
    "sha256" TEXT NOT NULL,

    CONSTRAINT "adapter_layers_pkey" PRIMARY KEY ("adapter_id","layer"),
    CONSTRAINT "adapter_layers_shape_check" CHECK ("rank" > 0 AND length("g") % (4 * "rank") = 0 AND length("b") % (4 * "rank") = 0)
);

ALTER TABLE "adapters" ADD CONSTRAINT "adapters_model_id_fkey" FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "adapter_layers" ADD CONSTRAINT "adapter_layers_adapter_id_fkey" FOREIGN KEY ("adapter_id") REFERENCES "adapters"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- An adapter enters a stream as one edit of as many columns as it has.
ALTER TABLE "edits"
    ADD COLUMN "adapter_id" TEXT,
    ADD COLUMN "width" INTEGER NOT NULL DEFAULT 1,
    ADD CONSTRAINT "edits_width_check" CHECK ("width" = 1 OR ("width" > 1 AND "adapter_id" IS NOT NULL));
ALTER TABLE "edits" ADD CONSTRAINT "edits_adapter_id_fkey" FOREIGN KEY ("adapter_id") REFERENCES "adapters"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
CREATE INDEX "edits_adapter_id_idx" ON "edits"("adapter_id");

-- Its keys follow from G and are not recorded.
ALTER TABLE "log_entries" DROP CONSTRAINT "log_entries_shape_check";
ALTER TABLE "log_entries" ADD CONSTRAINT "log_entries_shape_check" CHECK (
    (length("keys") = 4 * "d_in" * "columns" OR (length("keys") = 0 AND "sign" = 1)) AND length("g") = 4 * "d_in" * "columns"
    AND length("b") = 4 * ("row_end" - "row_start") * "columns" AND length("r_diagonal") = 8 * "columns"
);
