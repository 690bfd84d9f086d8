local claim, id, generation, origin, answer = cmsgpack.unpack(ARGV[2])
local row = read_row(id)
-- The stored status, not the one by the clock: the attempt was counted and judged while the code lived.
if not row or row.status ~= 'pending' or row.generation ~= generation then
    return { 'NO' }
end
row.status, row.ended = 'approved', now
leave_pending(row)
clear_failures(row.failures)
keep_in_sql('u', id, 1, row.expires)
transition(row, 'verification.approved', origin)
keep(claim, answer)
return { 'YES', shown(row), for_sql() }
