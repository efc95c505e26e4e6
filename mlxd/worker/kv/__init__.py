"""The paged KV cache as bookkeeping: which block holds what, for whom. Pure Python; no tensor is touched here.

::

    Manager                          all the scheduler sees
    ├── LayerGroup                   the blocks of layers that see equally far back
    │   ├── BlockPool                who holds which block; what may be evicted; arenas
    │   │   └── FreeExtents          free blocks as maximal ranges
    │   ├── PrefixIndex              chained hash of a block's tokens -> block
    │   └── BlockTable (per sequence)  its blocks, as few runs as possible
    ├── Announcements                what is being computed, for others to wait for
    └── StateSnapshots               recurrent states at the ends of blocks
"""
