CREATE TABLE "snapshots" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "hash" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "form" TEXT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "snapshots_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "snapshot_tensors" (
    "snapshot_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "element" TEXT NOT NULL,
    "rows" INTEGER NOT NULL,
    "columns" INTEGER NOT NULL,
    "bytes" BIGINT NOT NULL,

    CONSTRAINT "snapshot_tensors_pkey" PRIMARY KEY ("snapshot_id","name")
);

CREATE TABLE "snapshot_chunks" (
    "snapshot_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "chunk_id" TEXT NOT NULL,

    CONSTRAINT "snapshot_chunks_pkey" PRIMARY KEY ("snapshot_id","name","index")
);

CREATE TABLE "chunks" (
    "id" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "stored_bytes" INTEGER NOT NULL,
    "codec" TEXT NOT NULL,
    "location" TEXT,
    "data" BYTEA,
    "touched_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "chunks_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "chunk_objects" (
    "location" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "chunk_objects_pkey" PRIMARY KEY ("location")
);

CREATE UNIQUE INDEX "snapshots_stream_id_seq_kind_form_key" ON "snapshots"("stream_id", "seq", "kind", "form");
CREATE INDEX "snapshot_chunks_chunk_id_idx" ON "snapshot_chunks"("chunk_id");

ALTER TABLE "snapshots" ADD CONSTRAINT "snapshots_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "snapshot_tensors" ADD CONSTRAINT "snapshot_tensors_snapshot_id_fkey" FOREIGN KEY ("snapshot_id") REFERENCES "snapshots"("id") ON DELETE CASCADE ON UPDATE RESTRICT;
ALTER TABLE "snapshot_chunks" ADD CONSTRAINT "snapshot_chunks_snapshot_id_name_fkey" FOREIGN KEY ("snapshot_id", "name") REFERENCES "snapshot_tensors"("snapshot_id", "name") ON DELETE CASCADE ON UPDATE RESTRICT;
ALTER TABLE "snapshot_chunks" ADD CONSTRAINT "snapshot_chunks_chunk_id_fkey" FOREIGN KEY ("chunk_id") REFERENCES "chunks"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- What is to be compressed is compressed before it gets here.
ALTER TABLE "chunks" ALTER COLUMN "data" SET STORAGE EXTERNAL;

ALTER TABLE "snapshots" ADD CONSTRAINT "snapshots_kind_check" CHECK ("kind" IN ('weights', 'shard'));
ALTER TABLE "snapshot_tensors" ADD CONSTRAINT "snapshot_tensors_shape_check" CHECK (
    "element" IN ('fp32', 'fp64') AND "bytes" = "rows"::bigint * "columns" * CASE "element" WHEN 'fp32' THEN 4 WHEN 'fp64' THEN 8 END
);
ALTER TABLE "chunks"
    ADD CONSTRAINT "chunks_id_check" CHECK ("id" ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT "chunks_place_check" CHECK (("location" IS NULL) <> ("data" IS NULL)),
    ADD CONSTRAINT "chunks_bytes_check" CHECK ("data" IS NULL OR length("data") = "stored_bytes");

-- A batch whose tensors were removed. Its row, its edits and its hash stay.
ALTER TABLE "batches"
    ADD COLUMN "collected_at" TIMESTAMPTZ(3),
    ADD CONSTRAINT "batches_collected_check" CHECK ("collected_at" IS NULL OR "status" <> 'claimed');
CREATE INDEX "batches_parent_idx" ON "batches"("stream_id", "parent_seq") WHERE "status" <> 'closed';

CREATE OR REPLACE FUNCTION "errata_guard_batch"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD."status" = 'claimed' THEN
        RETURN NEW;
    END IF;
    -- What is measured afterwards may be added to a settled batch, and that it was collected, nothing else.
    IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - 'drift' - 'collected_at') = (to_jsonb(OLD) - 'drift' - 'collected_at') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on batches is refused: batch % of % is %', TG_OP, OLD."seq", OLD."stream_id", OLD."status"
        USING ERRCODE = 'restrict_violation';
END $$;

-- A batch that anything stands on is never collected: a batch after it, the head, a checkpoint, a branch. So by induction
-- nothing is that any of them reaches.
CREATE FUNCTION "errata_guard_collected"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    holder TEXT;
BEGIN
    IF OLD."collected_at" IS NOT NULL THEN
        holder := 'it is collected already';
    ELSIF OLD."status" = 'committed' THEN
        SELECT INTO holder CASE
            WHEN EXISTS (SELECT FROM "batches" WHERE "stream_id" = OLD."stream_id" AND "parent_seq" = OLD."seq" AND "status" <> 'closed' AND "collected_at" IS NULL) THEN 'a batch builds on it'
            WHEN EXISTS (SELECT FROM "streams" WHERE "id" = OLD."stream_id" AND "head" = OLD."seq") THEN 'it is the head'
            WHEN EXISTS (SELECT FROM "checkpoints" WHERE "stream_id" = OLD."stream_id" AND "seq" = OLD."seq") THEN 'a checkpoint names it'
            WHEN EXISTS (SELECT FROM "streams" WHERE "origin_stream_id" = OLD."stream_id" AND "origin_seq" = OLD."seq") THEN 'a branch begins at it'
        END;
    END IF;
    IF holder IS NOT NULL THEN
        RAISE EXCEPTION 'batch % of % is not collected: %', OLD."seq", OLD."stream_id", holder USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER "batches_collected" BEFORE UPDATE ON "batches" FOR EACH ROW
    WHEN (OLD."collected_at" IS DISTINCT FROM NEW."collected_at") EXECUTE FUNCTION "errata_guard_collected"();

CREATE FUNCTION "errata_guard_entry"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM "batches" WHERE "stream_id" = OLD."stream_id" AND "seq" = OLD."seq" AND "status" = 'committed' AND "collected_at" IS NULL) THEN
        RAISE EXCEPTION '% on % is refused: batch % of % is committed', TG_OP, TG_TABLE_NAME, OLD."seq", OLD."stream_id"
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER "log_entries_no_delete" ON "log_entries";
CREATE TRIGGER "log_entries_no_delete" BEFORE DELETE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_entry"();
