ALTER TABLE "streams"
    ADD COLUMN "origin_stream_id" TEXT,
    ADD COLUMN "origin_seq" INTEGER;
ALTER TABLE "edits" ADD COLUMN "merged_from" TEXT;

ALTER TABLE "streams" ADD CONSTRAINT "streams_origin_stream_id_fkey" FOREIGN KEY ("origin_stream_id") REFERENCES "streams"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "edits" ADD CONSTRAINT "edits_merged_from_fkey" FOREIGN KEY ("merged_from") REFERENCES "edits"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CREATE INDEX "streams_origin_stream_id_idx" ON "streams"("origin_stream_id");
CREATE INDEX "edits_merged_from_idx" ON "edits"("merged_from");

ALTER TABLE "streams"
    ADD CONSTRAINT "streams_origin_check" CHECK (("origin_stream_id" IS NULL) = ("origin_seq" IS NULL) AND "origin_seq" >= 0 AND "origin_seq" < "next_seq");

-- A branch reads the rows of its origin: where it hangs never changes.
CREATE FUNCTION "errata_guard_origin"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'UPDATE on streams is refused: % stays where it branched off', OLD."id" USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER "streams_origin_fixed" BEFORE UPDATE ON "streams" FOR EACH ROW
    WHEN ((OLD."origin_stream_id", OLD."origin_seq", OLD."genesis_hash") IS DISTINCT FROM (NEW."origin_stream_id", NEW."origin_seq", NEW."genesis_hash"))
    EXECUTE FUNCTION "errata_guard_origin"();
