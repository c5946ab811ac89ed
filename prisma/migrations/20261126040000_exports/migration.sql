CREATE TABLE "exports" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "log_hash" TEXT NOT NULL,
    "format" TEXT NOT NULL,
    "dtype" TEXT NOT NULL,
    "max_rank" INTEGER NOT NULL,
    "destination" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "detail" TEXT,
    "bytes_done" BIGINT NOT NULL DEFAULT 0,
    "bytes_total" BIGINT NOT NULL DEFAULT 0,
    "manifest" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "exports_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "publications" (
    "id" TEXT NOT NULL,
    "stream_id" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "alias" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "log_hash" TEXT NOT NULL,
    "export_id" TEXT NOT NULL,
    "lora_name" TEXT NOT NULL,
    "samples" INTEGER NOT NULL,
    "tolerance" DOUBLE PRECISION NOT NULL,
    "status" TEXT NOT NULL,
    "detail" TEXT,
    "steps" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "publications_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "aliases" (
    "target" TEXT NOT NULL,
    "alias" TEXT NOT NULL,
    "publication_id" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "aliases_pkey" PRIMARY KEY ("target","alias")
);

CREATE INDEX "exports_stream_id_created_at_idx" ON "exports"("stream_id", "created_at");
CREATE INDEX "exports_destination_idx" ON "exports"("destination");
CREATE INDEX "publications_stream_id_created_at_idx" ON "publications"("stream_id", "created_at");
CREATE INDEX "publications_export_id_idx" ON "publications"("export_id");
CREATE INDEX "aliases_publication_id_idx" ON "aliases"("publication_id");

ALTER TABLE "exports" ADD CONSTRAINT "exports_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "publications" ADD CONSTRAINT "publications_stream_id_fkey" FOREIGN KEY ("stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "publications" ADD CONSTRAINT "publications_export_id_fkey" FOREIGN KEY ("export_id") REFERENCES "exports"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "aliases" ADD CONSTRAINT "aliases_publication_id_fkey" FOREIGN KEY ("publication_id") REFERENCES "publications"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "exports"
    ADD CONSTRAINT "exports_status_check" CHECK ("status" IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    ADD CONSTRAINT "exports_manifest_check" CHECK (("status" = 'done') = ("manifest" IS NOT NULL)),
    ADD CONSTRAINT "exports_destination_check" CHECK ("destination" ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$');
ALTER TABLE "publications"
    ADD CONSTRAINT "publications_status_check" CHECK ("status" IN ('running', 'done', 'failed', 'cancelled'));
ALTER TABLE "aliases"
    ADD CONSTRAINT "aliases_version_check" CHECK ("version" > 0);
