-- Targets can be held against their hash as well.
ALTER TABLE "targets" ADD COLUMN "sha256" TEXT;
UPDATE "targets" SET "sha256" = encode(sha256("data"), 'hex');
ALTER TABLE "targets" ALTER COLUMN "sha256" SET NOT NULL;
ALTER TABLE "targets" ADD CONSTRAINT "targets_sha256_check" CHECK ("sha256" ~ '^[0-9a-f]{64}$');

-- History is append-only, but what was damaged may be put back: tensors as their recorded hashes have them, or the hashes of
-- tensors that are as they were.
CREATE FUNCTION "errata_guard_repair"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tensors TEXT[] := ARRAY['keys', 'g', 'b', 'r_diagonal'];
BEGIN
    IF (to_jsonb(NEW) - tensors - 'tensor_hashes') = (to_jsonb(OLD) - tensors - 'tensor_hashes')
        AND (NEW."tensor_hashes" = OLD."tensor_hashes"
            OR (NEW."keys", NEW."g", NEW."b", NEW."r_diagonal") = (OLD."keys", OLD."g", OLD."b", OLD."r_diagonal"))
        AND NEW."tensor_hashes" = substring(sha256(NEW."keys") FOR 8) || substring(sha256(NEW."g") FOR 8)
            || substring(sha256(NEW."b") FOR 8) || substring(sha256(NEW."r_diagonal") FOR 8)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on % is refused: history is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER "log_entries_no_update" ON "log_entries";
CREATE TRIGGER "log_entries_no_update" BEFORE UPDATE ON "log_entries" FOR EACH ROW EXECUTE FUNCTION "errata_guard_repair"();
