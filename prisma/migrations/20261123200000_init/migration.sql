CREATE TABLE "models" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "architecture" TEXT NOT NULL,
    "layers" INTEGER NOT NULL,
    "hidden_size" INTEGER NOT NULL,
    "intermediate_size" INTEGER NOT NULL,
    "registered_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "models_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "streams" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "config" JSONB NOT NULL,
    "config_hash" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "status_detail" TEXT,
    "head" INTEGER NOT NULL DEFAULT 0,
    "head_hash" TEXT NOT NULL,
    "genesis_hash" TEXT NOT NULL,
    "next_seq" INTEGER NOT NULL DEFAULT 1,
    "next_ordinal" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "streams_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "edits" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "subject" TEXT,
    "prompt" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "paraphrases" TEXT[],
    "neighbours" TEXT[],
    "source" TEXT,
    "tags" TEXT[],
    "key_hash" TEXT NOT NULL,
    "target_hash" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "reason" TEXT,
    "live_status" TEXT NOT NULL DEFAULT 'applied',
    "live_reason" TEXT,
    "seq" INTEGER,
    "column" INTEGER,
    "baseline" JSONB,
    "answer" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "edits_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "batches" (
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "parent_seq" INTEGER NOT NULL,
    "kind" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "joined_seq" INTEGER,
    "reason" TEXT,
    "closed_reason" TEXT,
    "hash" TEXT,
    "seconds" JSONB,
    "drift" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "committed_at" TIMESTAMPTZ(3),

    CONSTRAINT "batches_pkey" PRIMARY KEY ("stream_id","seq")
);

CREATE TABLE "batch_edits" (
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "column" INTEGER NOT NULL,
    "edit_id" TEXT NOT NULL,
    "source_seq" INTEGER,
    "source_column" INTEGER,
    "replaced_by" TEXT,

    CONSTRAINT "batch_edits_pkey" PRIMARY KEY ("stream_id","seq","column")
);

CREATE TABLE "targets" (
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "rows" INTEGER NOT NULL,
    "columns" INTEGER NOT NULL,
    "data" BYTEA NOT NULL,

    CONSTRAINT "targets_pkey" PRIMARY KEY ("stream_id","seq")
);

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
    "keys" BYTEA NOT NULL,
    "g" BYTEA NOT NULL,
    "b" BYTEA NOT NULL,
    "r_diagonal" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_entries_pkey" PRIMARY KEY ("stream_id","seq","layer","row_start")
);

CREATE TABLE "checkpoints" (
    "stream_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "hash" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("stream_id","name")
);

CREATE TABLE "events" (
    "id" SERIAL NOT NULL,
    "stream_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "detail" JSONB NOT NULL,
    "edit_ids" TEXT[],
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "covariances" (
    "id" TEXT NOT NULL,
    "model_id" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "corpus_id" TEXT NOT NULL,
    "tokens" INTEGER NOT NULL,
    "dimension" INTEGER NOT NULL,
    "sha256" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "covariances_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "covariance_chunks" (
    "covariance_id" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "data" BYTEA NOT NULL,

    CONSTRAINT "covariance_chunks_pkey" PRIMARY KEY ("covariance_id","index")
);

CREATE TABLE "stream_covariances" (
    "stream_id" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "covariance_id" TEXT NOT NULL,

    CONSTRAINT "stream_covariances_pkey" PRIMARY KEY ("stream_id","layer")
);

CREATE TABLE "shard_owners" (
    "stream_id" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "owner" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "acquired_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "shard_owners_pkey" PRIMARY KEY ("stream_id","layer")
);

CREATE TABLE "evaluations" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "report" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "evaluations_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "idempotency_keys" (
    "scope" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "body_hash" TEXT NOT NULL,
    "answer" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("scope","key")
);

CREATE INDEX "models_name_idx" ON "models"("name");
CREATE UNIQUE INDEX "streams_name_key" ON "streams"("name");
CREATE INDEX "streams_model_id_idx" ON "streams"("model_id");
CREATE INDEX "edits_stream_id_status_ordinal_idx" ON "edits"("stream_id", "status", "ordinal");
CREATE INDEX "edits_stream_id_key_hash_ordinal_idx" ON "edits"("stream_id", "key_hash", "ordinal");
CREATE UNIQUE INDEX "edits_stream_id_ordinal_key" ON "edits"("stream_id", "ordinal");
CREATE INDEX "batch_edits_edit_id_idx" ON "batch_edits"("edit_id");
CREATE INDEX "events_stream_id_id_idx" ON "events"("stream_id", "id");
CREATE UNIQUE INDEX "covariances_model_id_layer_corpus_id_tokens_key" ON "covariances"("model_id", "layer", "corpus_id", "tokens");
CREATE INDEX "stream_covariances_covariance_id_idx" ON "stream_covariances"("covariance_id");
CREATE INDEX "evaluations_stream_id_idx" ON "evaluations"("stream_id");

ALTER TABLE "streams" ADD CONSTRAINT "streams_model_id_fkey" FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "edits" ADD CONSTRAINT "edits_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "batches" ADD CONSTRAINT "batches_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "batch_edits" ADD CONSTRAINT "batch_edits_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "batch_edits" ADD CONSTRAINT "batch_edits_edit_id_fkey" FOREIGN KEY ("edit_id") REFERENCES "edits"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "targets" ADD CONSTRAINT "targets_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "log_entries" ADD CONSTRAINT "log_entries_stream_id_seq_fkey" FOREIGN KEY ("stream_id", "seq") REFERENCES "batches"("stream_id", "seq") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "checkpoints" ADD CONSTRAINT "checkpoints_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "events" ADD CONSTRAINT "events_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "covariances" ADD CONSTRAINT "covariances_model_id_fkey" FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "covariance_chunks" ADD CONSTRAINT "covariance_chunks_covariance_id_fkey" FOREIGN KEY ("covariance_id") REFERENCES "covariances"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "stream_covariances" ADD CONSTRAINT "stream_covariances_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "stream_covariances" ADD CONSTRAINT "stream_covariances_covariance_id_fkey" FOREIGN KEY ("covariance_id") REFERENCES "covariances"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "shard_owners" ADD CONSTRAINT "shard_owners_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "evaluations" ADD CONSTRAINT "evaluations_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- Tensor bytes do not compress: EXTERNAL keeps Postgres from trying.
ALTER TABLE "log_entries"
    ALTER COLUMN "keys" SET STORAGE EXTERNAL,
    ALTER COLUMN "g" SET STORAGE EXTERNAL,
    ALTER COLUMN "b" SET STORAGE EXTERNAL;
ALTER TABLE "targets" ALTER COLUMN "data" SET STORAGE EXTERNAL;
ALTER TABLE "covariance_chunks" ALTER COLUMN "data" SET STORAGE EXTERNAL;

ALTER TABLE "streams"
    ADD CONSTRAINT "streams_status_check" CHECK ("status" IN ('preparing', 'ready', 'paused', 'failed')),
    ADD CONSTRAINT "streams_head_check" CHECK ("head" >= 0 AND "head" < "next_seq"),
    ADD CONSTRAINT "streams_hash_check" CHECK (length("head_hash") = 64 AND length("genesis_hash") = 64);
ALTER TABLE "edits"
    ADD CONSTRAINT "edits_status_check" CHECK ("status" IN ('queued', 'resolved', 'applied', 'verified', 'rejected', 'superseded', 'revoked')),
    ADD CONSTRAINT "edits_live_status_check" CHECK ("live_status" IN ('applied', 'verified')),
    ADD CONSTRAINT "edits_position_check" CHECK (("seq" IS NULL) = ("column" IS NULL)),
    ADD CONSTRAINT "edits_written_check" CHECK ("status" <> 'applied' OR "seq" IS NOT NULL);
ALTER TABLE "batches"
    ADD CONSTRAINT "batches_kind_check" CHECK ("kind" IN ('apply', 'revoke')),
    ADD CONSTRAINT "batches_status_check" CHECK ("status" IN ('claimed', 'committed', 'closed')),
    ADD CONSTRAINT "batches_parent_check" CHECK ("parent_seq" >= 0 AND "parent_seq" < "seq"),
    ADD CONSTRAINT "batches_joined_check" CHECK ("joined_seq" IS NULL OR ("kind" = 'revoke' AND "joined_seq" > "seq")),
    ADD CONSTRAINT "batches_closed_check" CHECK (("status" = 'closed') = ("closed_reason" IS NOT NULL)),
    ADD CONSTRAINT "batches_committed_check" CHECK (("status" = 'committed') = ("hash" IS NOT NULL) AND ("status" = 'committed') = ("committed_at" IS NOT NULL));
ALTER TABLE "log_entries"
    ADD CONSTRAINT "log_entries_sign_check" CHECK ("sign" IN (1, -1)),
    ADD CONSTRAINT "log_entries_rows_check" CHECK (0 <= "row_start" AND "row_start" < "row_end" AND "row_end" <= "d_out"),
    ADD CONSTRAINT "log_entries_shape_check" CHECK (
        length("keys") = 4 * "d_in" * "columns" AND length("g") = 4 * "d_in" * "columns"
        AND length("b") = 4 * ("row_end" - "row_start") * "columns" AND length("r_diagonal") = 8 * "columns"
    ),
    ADD CONSTRAINT "log_entries_hash_check" CHECK (length("hash") = 64 AND length("previous_hash") = 64);
ALTER TABLE "targets" ADD CONSTRAINT "targets_shape_check" CHECK (length("data") = 4 * "rows" * "columns");
ALTER TABLE "covariances" ADD CONSTRAINT "covariances_dimension_check" CHECK ("dimension" > 0 AND "tokens" > 0);
ALTER TABLE "shard_owners" ADD CONSTRAINT "shard_owners_epoch_check" CHECK ("epoch" > 0);
ALTER TABLE "evaluations" ADD CONSTRAINT "evaluations_status_check" CHECK ("status" IN ('running', 'done', 'failed'));

-- Only written edits are looked for by batch.
CREATE INDEX "edits_written_idx" ON "edits"("stream_id", "seq") WHERE "seq" IS NOT NULL;

-- At most one chain (an apply or a revoke, with the revoke that an apply brings along) is under way in a stream.
CREATE UNIQUE INDEX "batches_one_claimed_idx" ON "batches"("stream_id") WHERE "status" = 'claimed' AND "joined_seq" IS NULL;
-- A revoke batch takes each column out once.
CREATE UNIQUE INDEX "batch_edits_source_idx" ON "batch_edits"("stream_id", "seq", "source_seq", "source_column") WHERE "source_seq" IS NOT NULL;

-- History is append-only. These triggers stop mistakes; the hash chain reveals what a superuser does behind them.
CREATE FUNCTION "errata_refuse_change"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: history is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION "errata_guard_committed"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM "batches" WHERE "stream_id" = OLD."stream_id" AND "seq" = OLD."seq" AND "status" = 'committed') THEN
        RAISE EXCEPTION '% on % is refused: batch % of % is committed', TG_OP, TG_TABLE_NAME, OLD."seq", OLD."stream_id"
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION "errata_guard_batch"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD."status" = 'claimed' THEN
        RETURN NEW;
    END IF;
    -- What is measured afterwards may be added to a settled batch, nothing else.
    IF TG_OP = 'UPDATE' AND (to_jsonb(NEW) - 'drift') = (to_jsonb(OLD) - 'drift') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on batches is refused: batch % of % is %', TG_OP, OLD."seq", OLD."stream_id", OLD."status"
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER "log_entries_no_update" BEFORE UPDATE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "log_entries_no_delete" BEFORE DELETE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_committed"();
CREATE TRIGGER "log_entries_no_truncate" BEFORE TRUNCATE ON "log_entries" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "batch_edits_committed" BEFORE UPDATE OR DELETE ON "batch_edits" FOR EACH ROW EXECUTE FUNCTION "errata_guard_committed"();
CREATE TRIGGER "batch_edits_no_truncate" BEFORE TRUNCATE ON "batch_edits" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "batches_settled" BEFORE UPDATE OR DELETE ON "batches" FOR EACH ROW EXECUTE FUNCTION "errata_guard_batch"();
CREATE TRIGGER "batches_no_truncate" BEFORE TRUNCATE ON "batches" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "events_append_only" BEFORE UPDATE OR DELETE ON "events" FOR EACH ROW EXECUTE FUNCTION "errata_refuse_change"();
CREATE TRIGGER "events_no_truncate" BEFORE TRUNCATE ON "events" FOR EACH STATEMENT EXECUTE FUNCTION "errata_refuse_change"();
