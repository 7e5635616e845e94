-- Shared by the scripts of the draw: the keys that it replaces. Their successors are written as
-- draw:… and take their names in one step.
local DRAWN = { 'waiting', 'alive', 'owners', 'deadlines', 'aways', 'drawn' }
local function drawing(name)
  return base .. ':draw:' .. name
end
