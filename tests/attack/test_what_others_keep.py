"""Who knows all ids wants to read what others keep, to see through it what is hidden, or to let themselves in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal_parts import ADA, BOB, EVE, World
from tests.searchable import Searchable, searchable
from vaas.errors import VaasError
from vaas.model import SIGNED_IN, Access, Visitor

pytestmark = pytest.mark.attack
AS_ADA, AS_BOB, AS_EVE = Visitor(ADA), Visitor(BOB), Visitor(EVE)
SECRET = "file:p/secret.csv"


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        yield made


async def test_who_knows_the_id_of_a_basket_reads_nothing_in_it(found: Searchable) -> None:
    found.put("secret.csv", SIGNED_IN, title="Xyzzy")
    basket = (await found.portal.baskets.new(AS_ADA, "Plugh")).basket.id
    await found.portal.baskets.add(AS_ADA, "here", SECRET, basket_id=basket)
    with pytest.raises(VaasError) as refused:
        await found.portal.baskets.look(AS_EVE, basket)
    assert "Xyzzy" not in refused.value.message and "Plugh" not in refused.value.message


async def test_a_collection_is_no_way_to_what_is_hidden(found: Searchable) -> None:
    found.put("secret.csv", "user:ada", title="Xyzzy")
    basket = (await found.portal.baskets.new(AS_ADA, "For all")).basket.id
    await found.portal.baskets.add(AS_ADA, "here", SECRET, basket_id=basket)
    await found.portal.baskets.share(AS_ADA, basket, [SIGNED_IN])
    look = await found.portal.baskets.look(AS_EVE, basket)
    assert (look.count, look.things) == (1, ()) and "Xyzzy" not in repr(look) and "secret" not in repr(look)


async def test_what_was_taken_away_is_not_followed_through_a_basket(found: Searchable) -> None:
    found.put("secret.csv", SIGNED_IN, title="Harmless")
    await found.portal.baskets.add(AS_EVE, "here", SECRET)
    found.put("secret.csv", "user:ada", title="Xyzzy", size=4711)
    look = await found.portal.baskets.look(AS_EVE)
    assert "Xyzzy" not in repr(look) and "4711" not in repr(look)


async def test_a_saved_search_counts_nothing_hidden(found: Searchable) -> None:
    await found.portal.saved.save(AS_EVE, "xyzzy")
    found.world.clock.forward(seconds=1)
    found.put("secret.csv", "user:ada", title="Xyzzy")
    (news,) = await found.portal.saved.look(AS_EVE)
    assert news.new == 0


async def test_nobody_answers_a_request_who_may_not_share(found: Searchable) -> None:
    app, requests = await found.world.published(ADA, to=(SIGNED_IN,)), found.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.WRITE, message="Xyzzy")
    for visitor in (AS_EVE, AS_BOB):
        for grant in (True, False):
            with pytest.raises(VaasError) as refused:
                await requests.answer(visitor, request.id, grant=grant)
            assert "Xyzzy" not in refused.value.message
    assert requests.last_for(AS_BOB, app) == request
    assert found.portal.core.see(AS_BOB, app.slug).access == Access.VIEW
