/* Circular doubly linked list; the links live in the objects (see container_of()). No locking. */
#pragma once

#include "lib/types.h"

struct list {
	struct list *next;
	struct list *previous;
};

static inline void list_init(struct list *head) { head->next = head->previous = head; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }

static inline void list_insert_before(struct list *position, struct list *entry)
{
	entry->next = position;
	entry->previous = position->previous;
	position->previous->next = entry;
	position->previous = entry;
}

static inline void list_append(struct list *head, struct list *entry) { list_insert_before(head, entry); }

/** list_remove() - takes @entry out and leaves it linked to itself, so that removing it twice is harmless. */
static inline void list_remove(struct list *entry)
{
	entry->previous->next = entry->next;
	entry->next->previous = entry->previous;
	list_init(entry);
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_for_each(link, head) for (struct list *link = (head)->next; link != (head); link = link->next)
