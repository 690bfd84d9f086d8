local answered = claimed({ 'INFLIGHT' })
if answered then
    return answered
end
local service, target, purpose, origin, subject_rule = argument(), argument(), argument(), argument(), argument()
local takes = read_takes()
local row
if target == '' then
    row = newest_pending(argument())
else
    row = find(service, target)
    if row and purpose ~= '' and row.purpose ~= purpose then
        row = nil
    end
end
if row and row.subject then
    takes[#takes + 1] = { name = bucket_name('f', row.failures), rule = rule_of(subject_rule) }
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
set(row, 'attempts', row.attempts + 1)
count_failure(row.failures, row.subject ~= nil)
transition(row, 'verification.checked', origin)
keep(false)
return { 'JUDGE', shown(row), changes }
