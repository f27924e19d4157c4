#include "vmm/console_mux.h"

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/spinlock.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/guest_line.h"
#include "vmm/vm.h"

#define CHUNK_SIZE 256u        /* moved at a time */
#define PROMPT_EXPANSION 24u   /* bytes sent around the prompt to draw it */
#define TYPED_SIZE 4096u       /* a power of two */
#define ATTACHED_PAUSE_NANOSECONDS 2000000u /* somebody waits for the echo of a key */
#define UNWATCHED_PAUSE_NANOSECONDS 10000000u /* each look costs all VMs of this CPU a switch */
#define INPUT_BUDGET 256u      /* bytes per poll, so that guests get their turn */

static const char erase_line[] = "\r\033[K";
static const char bell[] = "\a";

static struct {
	const struct console_port *port;
	struct spinlock lock;      /* protects the line's look: all below up to the blank line; taken under the log's lock */
	char prompt[CONSOLE_MUX_PROMPT_SIZE];
	size_t prompt_size, prompt_cursor;
	bool mid_line;             /* a guest's raw output left the cursor behind text */

	/* Boot processor only. */
	void (*input)(uint8_t byte);
	void (*attached_changed)(bool attached);
	struct vm *attached;
	uint32_t typed_head, typed_tail;
	uint64_t next_poll;        /* host TSC; read by others */
	uint8_t typed[TYPED_SIZE]; /* for the attached VM, while its ring is full */
} mux;

static void write_raw(const char *bytes, size_t size)
{
	mux.port->write_raw((const uint8_t *)bytes, size);
}

/* The cursor stands behind the prompt's last byte. */
static void place_cursor_locked(void)
{
	char move[24];
	size_t back = mux.prompt_size - mux.prompt_cursor;

	if (back != 0)
		write_raw(move, fmt_print(move, sizeof(move), "\033[%uD", (unsigned)back));
}

static void draw_prompt_locked(void)
{
	write_raw(erase_line, sizeof(erase_line) - 1);
	write_raw(mux.prompt, mux.prompt_size);
	place_cursor_locked();
}

static void write_log_locked(const char *text, size_t size)
{
	if (mux.prompt_size != 0)
		write_raw(erase_line, sizeof(erase_line) - 1);
	else if (mux.mid_line)
		write_raw("\r\n", 2);
	mux.mid_line = false;
	mux.port->write(text, size, false);
	if (mux.prompt_size != 0) {
		if (text[size - 1] != '\n')
			write_raw("\r\n", 2);
		draw_prompt_locked();
	}
}

static void write_log(const char *text, size_t size, bool synchronous)
{
	if (size == 0)
		return;
	if (synchronous) {
		mux.port->write(text, size, true);
		return;
	}
	spinlock_lock(&mux.lock);
	write_log_locked(text, size);
	spinlock_unlock(&mux.lock);
}

void console_mux_init(const struct console_port *port)
{
	static struct log_sink sink = {.name = "console", .write = write_log};

	memset(&mux, 0, sizeof(mux));
	mux.port = port;
	if (port != NULL)
		log_add_sink(&sink);
}

void console_mux_set_shell(void (*input)(uint8_t byte), void (*attached)(bool attached))
{
	mux.input = input;
	mux.attached_changed = attached;
}

void console_mux_write(const char *bytes, size_t size)
{
	if (mux.port == NULL)
		return;
	spinlock_lock(&mux.lock);
	write_raw(bytes, size);
	spinlock_unlock(&mux.lock);
}

/* What is typed at the end needs no drawing of the rest. */
static bool prompt_grows_locked(const char *text, size_t size, size_t cursor)
{
	return mux.prompt_size != 0 && cursor == size && mux.prompt_cursor == mux.prompt_size && size >= mux.prompt_size &&
	       memcmp(text, mux.prompt, mux.prompt_size) == 0;
}

void console_mux_set_prompt(const char *text, size_t size, size_t cursor)
{
	size_t shown;
	bool grows;

	if (mux.port == NULL)
		return;
	size = min_u64(size, CONSOLE_MUX_PROMPT_SIZE);
	spinlock_lock(&mux.lock);
	shown = mux.prompt_size;
	grows = prompt_grows_locked(text, size, cursor);
	memcpy(mux.prompt, text, size);
	mux.prompt_size = size;
	mux.prompt_cursor = min_u64(cursor, size);
	if (grows) {
		write_raw(text + shown, size - shown);
	} else if (size != 0) {
		if (mux.mid_line)
			write_raw("\r\n", 2);
		mux.mid_line = false;
		draw_prompt_locked();
	}
	spinlock_unlock(&mux.lock);
}

static void write_guest_bytes(const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return;
	spinlock_lock(&mux.lock);
	mux.port->write_raw(bytes, size);
	mux.mid_line = bytes[size - 1] != '\n';
	spinlock_unlock(&mux.lock);
}

/* How many bytes of output may be taken without waiting for the line. */
static size_t output_room(const struct vm *vm)
{
	size_t room;

	if (mux.port == NULL)
		return CHUNK_SIZE;
	room = mux.port->room();
	if (room < mux.port->burst)
		return 0;
	if (vm == mux.attached)
		return min_u64(room, CHUNK_SIZE);
	/* Every line may take the prompt away and draw it again. */
	return min_u64(room / (GUEST_LINE_EXPANSION + mux.prompt_size + PROMPT_EXPANSION), CHUNK_SIZE);
}

/* The time that it takes is the VM's: it pays for its own lines. */
static bool move_output(struct vm *vm, size_t room)
{
	uint8_t buffer[CHUNK_SIZE];
	uint64_t begin = clock_now();
	size_t taken;

	if (room == 0 || !vm_console_has_output(&vm->console))
		return false;
	taken = vm_console_take(&vm->console, buffer, room);
	if (vm == mux.attached)
		write_guest_bytes(buffer, taken);
	else
		guest_line_add(vm->id, vm->config->name, buffer, taken);
	__atomic_fetch_add(&vm->sched.service_ticks, clock_now() - begin, __ATOMIC_RELAXED);
	return taken != 0;
}

void console_mux_flush(struct vm *vm)
{
	/* A vCPU that still runs may go on sending; it does not hold us longer than what its ring holds. */
	for (unsigned moved = 0; moved < VM_CONSOLE_OUTPUT_SIZE && move_output(vm, CHUNK_SIZE); moved += CHUNK_SIZE)
		;
	guest_line_end(vm->id, vm->config->name);
}

void console_mux_forget(struct vm *vm)
{
	console_mux_flush(vm);
	guest_line_forget(vm->id);
	if (vm == mux.attached)
		console_mux_detach();
}

/* A VM that has ended: the rest of its last line, and nobody stays attached to it. */
static void finish_stopped(struct vm *vm)
{
	bool ended = vm->state == VM_STOPPED || vm->state == VM_DESTROYING;

	/* Before its end is announced it is open whether it starts again. */
	if (!ended || !vm->stop_announced || vm_console_has_output(&vm->console))
		return;
	guest_line_end(vm->id, vm->config->name);
	if (vm == mux.attached)
		console_mux_detach();
}

bool console_mux_has_output(void)
{
	for (uint32_t i = 0; i < vm_list_count; i++) {
		if (vm_console_has_output(&vm_list[i]->console))
			return true;
	}
	return false;
}

uint64_t console_mux_next_poll(void)
{
	return __atomic_load_n(&mux.next_poll, __ATOMIC_ACQUIRE);
}

static bool poll_output(void)
{
	bool moved = false;

	uint64_t pause = mux.attached ? ATTACHED_PAUSE_NANOSECONDS : UNWATCHED_PAUSE_NANOSECONDS;

	/* Before the rings are looked at: what comes later is seen at that time. */
	if (console_mux_has_output())
		__atomic_store_n(&mux.next_poll, clock_now() + clock_ticks_from_nanoseconds(pause), __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < vm_list_count; i++) {
		struct vm *vm = vm_list[i];

		if (move_output(vm, output_room(vm)))
			moved = true;
		finish_stopped(vm);
	}
	return moved;
}

/* Hands on what is typed for the attached VM as far as its ring has room. */
static bool pass_typed(void)
{
	bool passed = false;

	while (mux.typed_tail != mux.typed_head) {
		uint32_t tail = mux.typed_tail % TYPED_SIZE;
		size_t piece = min_u64(mux.typed_head - mux.typed_tail, TYPED_SIZE - tail);
		size_t fitted = vm_console_type(&mux.attached->console, mux.typed + tail, piece);

		if (fitted == 0)
			break;
		mux.typed_tail += (uint32_t)fitted;
		passed = true;
	}
	return passed;
}

/* Reading goes on while the guest does not, since Ctrl-] must be seen; a guest that never reads costs a bell. */
static void keep_typed(uint8_t byte)
{
	if (mux.typed_head - mux.typed_tail == TYPED_SIZE) {
		console_mux_write(bell, sizeof(bell) - 1);
		return;
	}
	mux.typed[mux.typed_head++ % TYPED_SIZE] = byte;
}

static void take_input(uint8_t byte)
{
	if (mux.attached == NULL) {
		if (mux.input != NULL)
			mux.input(byte);
		return;
	}
	if (byte == CONSOLE_MUX_DETACH_KEY)
		console_mux_detach();
	else
		keep_typed(byte);
}

static bool poll_input(void)
{
	bool moved = false;
	uint8_t byte;

	for (unsigned budget = INPUT_BUDGET; budget != 0 && mux.port->read(&byte); budget--) {
		take_input(byte);
		moved = true;
	}
	if (mux.attached != NULL && pass_typed())
		moved = true;
	return moved;
}

bool console_mux_poll(void)
{
	bool moved = mux.port != NULL && poll_input();

	return poll_output() || moved;
}

enum status console_mux_attach(struct vm *vm)
{
	char rest[GUEST_LINE_SIZE];

	if (mux.port == NULL)
		return STATUS_UNSUPPORTED;
	console_mux_set_prompt("", 0, 0);
	mux.attached = vm;
	mux.typed_head = mux.typed_tail = 0;
	/* The line that the guest has begun, most often its own prompt. */
	write_guest_bytes((const uint8_t *)rest, guest_line_take(vm->id, rest));
	if (mux.attached_changed != NULL)
		mux.attached_changed(true);
	return STATUS_OK;
}

void console_mux_detach(void)
{
	if (mux.attached == NULL)
		return;
	mux.attached = NULL;
	if (mux.attached_changed != NULL)
		mux.attached_changed(false);
}

struct vm *console_mux_attached(void)
{
	return mux.attached;
}
