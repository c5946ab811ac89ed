ALTER TABLE "covariances" ADD COLUMN "source" TEXT NOT NULL DEFAULT 'default';

CREATE TABLE "covariance_partials" (
    "key" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "model_id" TEXT NOT NULL,
    "source" TEXT NOT NULL,
    "dimension" INTEGER NOT NULL,
    "slices" INTEGER NOT NULL,
    "tokens" INTEGER NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "covariance_partials_pkey" PRIMARY KEY ("key","layer")
);

CREATE TABLE "covariance_partial_chunks" (
    "key" TEXT NOT NULL,
    "layer" INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    "data" BYTEA NOT NULL,

    CONSTRAINT "covariance_partial_chunks_pkey" PRIMARY KEY ("key","layer","index")
);

CREATE TABLE "corpora" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "corpora_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "corpus_chunks" (
    "corpus_id" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "data" BYTEA NOT NULL,

    CONSTRAINT "corpus_chunks_pkey" PRIMARY KEY ("corpus_id","index")
);

ALTER TABLE "covariance_partials" ADD CONSTRAINT "covariance_partials_model_id_fkey" FOREIGN KEY ("model_id") REFERENCES "models"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "covariance_partial_chunks" ADD CONSTRAINT "covariance_partial_chunks_key_layer_fkey" FOREIGN KEY ("key", "layer") REFERENCES "covariance_partials"("key", "layer") ON DELETE CASCADE ON UPDATE RESTRICT;
ALTER TABLE "corpus_chunks" ADD CONSTRAINT "corpus_chunks_corpus_id_fkey" FOREIGN KEY ("corpus_id") REFERENCES "corpora"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- Sums of floating-point numbers do not compress.
ALTER TABLE "covariance_partial_chunks" ALTER COLUMN "data" SET STORAGE EXTERNAL;

ALTER TABLE "covariance_partials"
    ADD CONSTRAINT "covariance_partials_sums_check" CHECK ("dimension" > 0 AND "slices" >= 0 AND "tokens" >= 0);
ALTER TABLE "corpora"
    ADD CONSTRAINT "corpora_id_check" CHECK ("id" ~ '^crp_[0-9a-f]{64}$'),
    ADD CONSTRAINT "corpora_bytes_check" CHECK ("bytes" > 0);

-- Whether streams name a corpus is asked before it is deleted and whenever corpora are listed.
CREATE INDEX "streams_corpus_idx" ON "streams"(("config" #>> '{corpus,id}')) WHERE "config" #>> '{corpus,id}' IS NOT NULL;
