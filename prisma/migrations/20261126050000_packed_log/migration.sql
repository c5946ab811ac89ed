-- K, G and B of an entry one behind the other. Postgres cuts a long value into pieces of 1,996 bytes, four to a page: what makes
-- whole pieces goes there, the rest stays in the row. Three values had three rests, each in a page that it left half empty.
LOCK TABLE "log_entries" IN ACCESS EXCLUSIVE MODE;
ALTER TABLE "log_entries" RENAME TO "log_entries_loose";
ALTER INDEX "log_entries_pkey" RENAME TO "log_entries_loose_pkey";
DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', format('log_entries_p%s', lpad(i::text, 2, '0')), format('log_entries_loose_p%s', lpad(i::text, 2, '0')));
        EXECUTE format('ALTER INDEX %I RENAME TO %I', format('log_entries_p%s_pkey', lpad(i::text, 2, '0')), format('log_entries_loose_p%s_pkey', lpad(i::text, 2, '0')));
    END LOOP;
END $$;

CREATE TABLE "log_entries" (
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "seq" INTEGER NOT NULL,
    "layer" INTEGER NOT NULL,
    "row_start" INTEGER NOT NULL,
    "row_end" INTEGER NOT NULL,
    "d_in" INTEGER NOT NULL,
    "d_out" INTEGER NOT NULL,
    "columns" INTEGER NOT NULL,
    "epoch" INTEGER NOT NULL,
    "sign" SMALLINT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "previous_hash" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "config_hash" TEXT NOT NULL,
    "stats" JSONB NOT NULL,
    "r_diagonal" BYTEA NOT NULL,
    "tensor_hashes" BYTEA NOT NULL,
    "tensors" BYTEA STORAGE EXTERNAL NOT NULL,
    "rest" BYTEA STORAGE MAIN NOT NULL,

    CONSTRAINT "log_entries_pkey" PRIMARY KEY ("stream_id","seq","layer","row_start"),
    CONSTRAINT "log_entries_sign_check" CHECK ("sign" IN (1, -1)),
    CONSTRAINT "log_entries_rows_check" CHECK (0 <= "row_start" AND "row_start" < "row_end" AND "row_end" <= "d_out"),
    CONSTRAINT "log_entries_shape_check" CHECK (
        (length("tensors") + length("rest") = 4 * "columns"::bigint * (2 * "d_in" + "row_end" - "row_start")
            -- The keys of an imported adapter follow from G and are not recorded.
            OR ("sign" = 1 AND length("tensors") + length("rest") = 4 * "columns"::bigint * ("d_in" + "row_end" - "row_start")))
        AND length("r_diagonal") = 8 * "columns"
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
        -- A row with its rest has up to 2.6 kB: below this it is left alone.
        EXECUTE format('CREATE TABLE %I PARTITION OF "log_entries" FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (toast_tuple_target = 4080)', part, i);
        -- Tensor bytes do not compress: EXTERNAL keeps Postgres from trying. What a partition inherits is said again.
        EXECUTE format('ALTER TABLE %I ALTER COLUMN "tensors" SET STORAGE EXTERNAL, ALTER COLUMN "rest" SET STORAGE MAIN', part);
        EXECUTE format('CREATE TRIGGER "log_entries_no_truncate" BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"()', part);
    END LOOP;
END $$;

INSERT INTO "log_entries" ("created_at", "seq", "layer", "row_start", "row_end", "d_in", "d_out", "columns", "epoch", "sign", "stream_id",
    "previous_hash", "hash", "config_hash", "stats", "r_diagonal", "tensor_hashes", "tensors", "rest")
SELECT "created_at", "seq", "layer", "row_start", "row_end", "d_in", "d_out", "columns", "epoch", "sign", "stream_id",
    "previous_hash", "hash", "config_hash", "stats", "r_diagonal", "tensor_hashes",
    substring("whole" FOR length("whole") - length("whole") % 1996), substring("whole" FROM length("whole") - length("whole") % 1996 + 1)
FROM (SELECT *, "keys" || "g" || "b" AS "whole" FROM "log_entries_loose" OFFSET 0) AS "entries" ORDER BY "stream_id", "seq", "layer";
DROP TABLE "log_entries_loose";

ALTER TABLE "log_entries" ADD CONSTRAINT "log_entries_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- What was damaged may be put back: tensors as their recorded hashes have them, or the hashes of tensors that are as they were.
CREATE OR REPLACE FUNCTION "errata_guard_repair"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tensors TEXT[] := ARRAY['tensors', 'rest', 'r_diagonal'];
    whole BYTEA := NEW."tensors" || NEW."rest";
    size INTEGER := 4 * NEW."d_in" * NEW."columns";
    keys INTEGER := length(whole) - size - 4 * (NEW."row_end" - NEW."row_start") * NEW."columns";
BEGIN
    IF (to_jsonb(NEW) - tensors - 'tensor_hashes') = (to_jsonb(OLD) - tensors - 'tensor_hashes')
        AND (NEW."tensor_hashes" = OLD."tensor_hashes"
            OR (whole, NEW."r_diagonal") = (OLD."tensors" || OLD."rest", OLD."r_diagonal"))
        AND NEW."tensor_hashes" = substring(sha256(substring(whole FOR keys)) FOR 8)
            || substring(sha256(substring(whole FROM keys + 1 FOR size)) FOR 8)
            || substring(sha256(substring(whole FROM keys + size + 1)) FOR 8) || substring(sha256(NEW."r_diagonal") FOR 8)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on % is refused: history is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER "log_entries_no_update" BEFORE UPDATE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_repair"();
CREATE TRIGGER "log_entries_no_delete" BEFORE DELETE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_entry"();
CREATE TRIGGER "log_entries_no_truncate" BEFORE TRUNCATE ON "log_entries" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();
