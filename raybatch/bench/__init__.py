"""The same work through raybatch and through its peers, side by side.

    contenders ── who takes part
    race ─────── checks their pixels, then times them in turn, round after round
      one_run ── one contender in a process of its own: times or digests what it gives
      launch ─── starts that process, samples its memory, ends whatever it leaves
    report ───── medians, and the ratio of each round; plot draws them

A peer is imported in one module only, and only in the process that runs it.
"""
