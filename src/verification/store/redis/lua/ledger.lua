-- Failures and used codes lie in SQL too. A Redis that was emptied, or is another one than before, has not got them: then nothing is judged
-- by what it lacks, and the store brings them first.
local ledger = base .. ':failures'
local sequence = redis.call('HGET', ledger, 'sequence')
if not sequence then
    return { 'COLD' }
end
