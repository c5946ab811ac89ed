CREATE TABLE "stream_guards" (
    "stream_id" TEXT NOT NULL,
    "settings" JSONB NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "stream_guards_pkey" PRIMARY KEY ("stream_id")
);

CREATE TABLE "canaries" (
    "stream_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "prompt" TEXT NOT NULL,
    "expected" TEXT NOT NULL,
    "base_holds" BOOLEAN,
    "holds" BOOLEAN,
    "seq" INTEGER,
    "held_seq" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "canaries_pkey" PRIMARY KEY ("stream_id","name")
);

CREATE TABLE "probe_rounds" (
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "measured" TEXT[],
    "results" JSONB NOT NULL,
    "readings" JSONB NOT NULL,
    "costs" JSONB NOT NULL,
    "seconds" DOUBLE PRECISION NOT NULL,
    "total_seconds" DOUBLE PRECISION NOT NULL,
    "total_edit_seconds" DOUBLE PRECISION NOT NULL,
    "written" INTEGER NOT NULL,
    "tripped" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "probe_rounds_pkey" PRIMARY KEY ("stream_id","seq")
);

CREATE TABLE "webhook_deliveries" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "receiver" TEXT NOT NULL,
    "payload" JSONB NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "detail" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "settled_at" TIMESTAMPTZ(3),

    CONSTRAINT "webhook_deliveries_pkey" PRIMARY KEY ("id")
);

CREATE INDEX "webhook_deliveries_stream_id_seq_idx" ON "webhook_deliveries"("stream_id", "seq");

ALTER TABLE "stream_guards" ADD CONSTRAINT "stream_guards_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "canaries" ADD CONSTRAINT "canaries_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "probe_rounds" ADD CONSTRAINT "probe_rounds_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "webhook_deliveries"
    ADD CONSTRAINT "webhook_deliveries_status_check" CHECK ("status" IN ('pending', 'delivered', 'failed')),
    ADD CONSTRAINT "webhook_deliveries_settled_check" CHECK (("status" = 'pending') = ("settled_at" IS NULL));
ALTER TABLE "probe_rounds"
    ADD CONSTRAINT "probe_rounds_seconds_check" CHECK ("seconds" >= 0 AND "total_seconds" >= 0 AND "total_edit_seconds" >= 0);

ALTER TABLE "edits"
    DROP CONSTRAINT "edits_status_check",
    ADD CONSTRAINT "edits_status_check" CHECK ("status" IN ('queued', 'resolved', 'applied', 'verified', 'rejected', 'superseded', 'revoked', 'quarantined'));
