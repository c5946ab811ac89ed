CREATE TABLE "revocations" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "cause" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "selection" JSONB NOT NULL,
    "reason" TEXT,
    "retarget" BOOLEAN NOT NULL DEFAULT false,
    "verify" BOOLEAN NOT NULL DEFAULT false,
    "edit_ids" TEXT[],
    "withdrawn" INTEGER NOT NULL DEFAULT 0,
    "retarget_ids" TEXT[],
    "head" INTEGER,
    "head_hash" TEXT,
    "deviation" JSONB,
    "failure" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "begun_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "revocations_pkey" PRIMARY KEY ("id")
);

ALTER TABLE "batches" ADD COLUMN "revocation_id" TEXT;
ALTER TABLE "edits" ADD COLUMN "expires_at" TIMESTAMPTZ(3);
-- Targets that are there already keep no time: none was written down.
ALTER TABLE "targets" ADD COLUMN "resolved_at" TIMESTAMPTZ(3);
ALTER TABLE "targets" ALTER COLUMN "resolved_at" SET DEFAULT CURRENT_TIMESTAMP;

CREATE INDEX "revocations_stream_id_id_idx" ON "revocations"("stream_id", "id");
CREATE INDEX "batches_revocation_id_idx" ON "batches"("revocation_id");

ALTER TABLE "revocations" ADD CONSTRAINT "revocations_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "batches" ADD CONSTRAINT "batches_revocation_id_fkey" FOREIGN KEY ("revocation_id") REFERENCES "revocations"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "revocations"
    ADD CONSTRAINT "revocations_cause_check" CHECK ("cause" IN ('request', 'expiry')),
    ADD CONSTRAINT "revocations_status_check" CHECK ("status" IN ('running', 'cancelling', 'done', 'failed', 'cancelled')),
    ADD CONSTRAINT "revocations_finished_check" CHECK (("status" IN ('done', 'failed', 'cancelled')) = ("finished_at" IS NOT NULL)),
    ADD CONSTRAINT "revocations_failure_check" CHECK (("status" = 'failed') = ("failure" IS NOT NULL));

-- Looked for before every batch: few are open, few edits expire.
CREATE INDEX "revocations_open_idx" ON "revocations"("stream_id", "id") WHERE "finished_at" IS NULL;
CREATE INDEX "edits_expiry_idx" ON "edits"("stream_id", "expires_at") WHERE "expires_at" IS NOT NULL;
