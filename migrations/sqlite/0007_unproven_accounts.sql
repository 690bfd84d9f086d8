-- Until then somebody who registered may prove a number or address by a sign-in; afterwards the account goes. None: it stays, since
-- its person signed in, or it came another way.
ALTER TABLE account ADD COLUMN unproven_until BIGINT;
