local claim, service, id, purpose, newest, origin, subject_rule, takes = cmsgpack.unpack(ARGV[2])
local answered = claimed(claim, { 'INFLIGHT' })
if answered then
    return answered
end
local row
if newest then
    row = newest_pending(newest)
else
    row = find(service, id)
    if row and purpose and row.purpose ~= purpose then
        row = nil
    end
end
if row and row.subject then
    takes[#takes + 1] = { row.failures, subject_rule }
end
-- Taken for unknown ids as well: who guesses ids is counted too.
local limited = take_all(takes)
if limited then
    return limited
end
if not row then
    return { 'NOTFOUND' }
elseif status_of(row) ~= 'pending' then
    return { 'ENDED', shown(row) }
end
row.attempts = row.attempts + 1
count_failure(row.failures, row.subject ~= nil)
transition(row, 'verification.checked', origin)
keep(claim, false)
return { 'JUDGE', shown(row), for_sql() }
