-- The log by hash of its stream: sixteen tables and indexes of a sixteenth of the size, that vacuum and back up side by side.
LOCK TABLE "log_entries" IN ACCESS EXCLUSIVE MODE;
ALTER TABLE "log_entries" RENAME TO "log_entries_whole";
ALTER INDEX "log_entries_pkey" RENAME TO "log_entries_whole_pkey";

CREATE TABLE "log_entries" (
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "layer" INTEGER NOT NULL,
    "row_start" INTEGER NOT NULL,
    "row_end" INTEGER NOT NULL,
    "sign" SMALLINT NOT NULL,
    "d_in" INTEGER NOT NULL,
    "d_out" INTEGER NOT NULL,
    "columns" INTEGER NOT NULL,
    "epoch" INTEGER NOT NULL,
    "previous_hash" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "config_hash" TEXT NOT NULL,
    "stats" JSONB NOT NULL,
    "keys" BYTEA STORAGE EXTERNAL NOT NULL,
    "g" BYTEA STORAGE EXTERNAL NOT NULL,
    "b" BYTEA STORAGE EXTERNAL NOT NULL,
    "r_diagonal" BYTEA NOT NULL,
    "tensor_hashes" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_entries_pkey" PRIMARY KEY ("stream_id","seq","layer","row_start"),
    CONSTRAINT "log_entries_sign_check" CHECK ("sign" IN (1, -1)),
    CONSTRAINT "log_entries_rows_check" CHECK (0 <= "row_start" AND "row_start" < "row_end" AND "row_end" <= "d_out"),
    CONSTRAINT "log_entries_shape_check" CHECK (
        length("keys") = 4 * "d_in" * "columns" AND length("g") = 4 * "d_in" * "columns"
        AND length("b") = 4 * ("row_end" - "row_start") * "columns" AND length("r_diagonal") = 8 * "columns"
    ),
    CONSTRAINT "log_entries_hash_check" CHECK (length("hash") = 64 AND length("previous_hash") = 64),
    CONSTRAINT "log_entries_tensor_hashes_check" CHECK (length("tensor_hashes") = 32)
) PARTITION BY HASH ("stream_id");

DO $$
DECLARE
    part TEXT;
BEGIN
    FOR i IN 0..15 LOOP
        part := format('log_entries_p%s', lpad(i::text, 2, '0'));
        EXECUTE format('CREATE TABLE %I PARTITION OF "log_entries" FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, i);
        -- Tensor bytes do not compress: EXTERNAL keeps Postgres from trying. What a partition inherits is said again.
        EXECUTE format('ALTER TABLE %I ALTER COLUMN "keys" SET STORAGE EXTERNAL, ALTER COLUMN "g" SET STORAGE EXTERNAL, ALTER COLUMN "b" SET STORAGE EXTERNAL', part);
        EXECUTE format('CREATE TRIGGER "log_entries_no_truncate" BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"()', part);
    END LOOP;
END $$;

-- Which of an entry's tensors was damaged: the first eight bytes of the sha256 of K, G, B and the diagonal of R.
INSERT INTO "log_entries"
SELECT "stream_id", "seq", "layer", "row_start", "row_end", "sign", "d_in", "d_out", "columns", "epoch", "previous_hash", "hash",
    "config_hash", "stats", "keys", "g", "b", "r_diagonal",
    substring(sha256("keys") FOR 8) || substring(sha256("g") FOR 8) || substring(sha256("b") FOR 8) || substring(sha256("r_diagonal") FOR 8),
    "created_at"
FROM "log_entries_whole" ORDER BY "stream_id", "seq", "layer";
DROP TABLE "log_entries_whole";

ALTER TABLE "log_entries" ADD CONSTRAINT "log_entries_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;
CREATE TRIGGER "log_entries_no_update" BEFORE UPDATE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "log_entries_no_delete" BEFORE DELETE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_committed"();
CREATE TRIGGER "log_entries_no_truncate" BEFORE TRUNCATE ON "log_entries" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();

-- A lineage is read from the index alone.
CREATE INDEX "batches_lineage_idx" ON "batches"("stream_id", "seq") INCLUDE ("parent_seq") WHERE "status" = 'committed';
